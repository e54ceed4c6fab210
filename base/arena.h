/* One arena per request: many small allocations, one release. Not for pixels. One thread at a time (the event
 * thread until the job is handed to a render thread, that thread until the answer is handed back).
 *
 * Under AddressSanitizer each allocation is a malloc of its own, so that an overflow inside the arena is
 * seen. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

struct arena;

/* NULL when memory is out. */
struct arena *arena_new(void);
void arena_free(struct arena *arena);
/* Everything allocated so far is gone; one block is kept for what comes next. */
void arena_reset(struct arena *arena);

/* Zeroed and aligned for any type; NULL when memory is out. Lives until arena_free(). */
void *arena_alloc(struct arena *arena, size_t size_bytes);
/* The same, not zeroed: for what is written as a whole. */
void *arena_room(struct arena *arena, size_t size_bytes);
/* Copies `length` bytes and adds a terminating NUL. NULL when memory is out. */
char *arena_text(struct arena *arena, const char *text, size_t length);
/* The texts one after the other; the last argument is NULL. For what every request says: printf() takes five
 * times as long. */
char *arena_join(struct arena *arena, const char *first, ...) __attribute__((sentinel));
char *arena_format(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
