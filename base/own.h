/* Ownership as a property of the variable: what is declared OWN_... is released when its scope ends,
 * whichever way. TAKE_... hands it over to somebody else and leaves the variable empty. Not to be combined
 * with longjmp: a function that calls setjmp owns nothing, its caller does. */
#ifndef BASE_OWN_H
#define BASE_OWN_H

#include <stdlib.h>
#include <unistd.h>

static inline void own_free(void *slot)
{
    free(*(void **)slot);
}

static inline void own_close(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

#define OWN_FREE __attribute__((cleanup(own_free)))
#define OWN_FD   __attribute__((cleanup(own_close)))

/* Cleanup for a library handle: OWN(tiff_close) struct tiff *t. `function` takes the address of the
 * variable. */
#define OWN(function) __attribute__((cleanup(function)))

#define TAKE_PTR(variable)                             \
    ({                                                 \
        __typeof__(variable) *own_slot_ = &(variable); \
        __typeof__(variable) own_value_ = *own_slot_;  \
        *own_slot_ = NULL;                             \
        own_value_;                                    \
    })

#define TAKE_FD(variable)             \
    ({                                \
        int *own_slot_ = &(variable); \
        int own_value_ = *own_slot_;  \
        *own_slot_ = -1;              \
        own_value_;                   \
    })

#endif
