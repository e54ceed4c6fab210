/* Whether this build carries a sanitizer that brings signal handlers and threads of its own and needs the
 * system calls that nobody else does. */
#ifndef BASE_SANITIZER_H
#define BASE_SANITIZER_H

#ifndef __has_feature
#define __has_feature(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer) || \
    __has_feature(thread_sanitizer)
#define BASE_UNDER_SANITIZER 1
#else
#define BASE_UNDER_SANITIZER 0
#endif

#endif
