#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BLOCK_BYTES 24000u /* a request, its texts, and a small image from the cache */

struct arena_block {
    struct arena_block *next;
    size_t used, capacity;
    alignas(max_align_t) char data[];
};

struct arena {
    struct arena_block *blocks; /* the one being filled first */
};

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_SEPARATE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_SEPARATE 1
#endif
#endif
#ifndef ARENA_SEPARATE
#define ARENA_SEPARATE 0
#endif

struct arena *arena_new(void)
{
    return calloc(1, sizeof(struct arena));
}

void arena_reset(struct arena *arena)
{
    struct arena_block *kept = NULL;
    while (arena->blocks != NULL) {
        struct arena_block *block = arena->blocks;
        arena->blocks = block->next;
        if (kept == NULL && block->capacity == ARENA_BLOCK_BYTES && !ARENA_SEPARATE)
            kept = block;
        else
            free(block);
    }
    if (kept != NULL)
        *kept = (struct arena_block){.capacity = kept->capacity};
    arena->blocks = kept;
}

void arena_free(struct arena *arena)
{
    if (arena == NULL)
        return;
    arena_reset(arena);
    free(arena->blocks);
    free(arena);
}

void *arena_room(struct arena *arena, size_t size_bytes)
{
    const size_t align = alignof(max_align_t);
    if (size_bytes > SIZE_MAX / 2)
        return NULL;
    if (!ARENA_SEPARATE)
        size_bytes = (size_bytes + align - 1) / align * align;
    struct arena_block *block = arena->blocks;
    if (ARENA_SEPARATE || block == NULL || block->capacity - block->used < size_bytes) {
        size_t capacity = ARENA_SEPARATE || size_bytes > ARENA_BLOCK_BYTES ? size_bytes : ARENA_BLOCK_BYTES;
        block = malloc(sizeof *block + capacity);
        if (block == NULL)
            return NULL;
        *block = (struct arena_block){.next = arena->blocks, .capacity = capacity};
        arena->blocks = block;
    }
    void *p = block->data + block->used;
    block->used += size_bytes;
    return p;
}

void *arena_alloc(struct arena *arena, size_t size_bytes)
{
    void *p = arena_room(arena, size_bytes);
    return p != NULL ? memset(p, 0, size_bytes) : NULL;
}

char *arena_text(struct arena *arena, const char *text, size_t length)
{
    char *copy = arena_room(arena, length + 1);
    if (copy != NULL)
        *(char *)mempcpy(copy, text, length) = '\0';
    return copy;
}

char *arena_join(struct arena *arena, const char *first, ...)
{
    va_list args;
    size_t length = 0;
    va_start(args, first);
    for (const char *text = first; text != NULL; text = va_arg(args, const char *))
        length += strlen(text);
    va_end(args);
    char *joined = arena_room(arena, length + 1), *to = joined;
    if (joined != NULL)
        *joined = '\0';
    va_start(args, first);
    for (const char *text = first; joined != NULL && text != NULL; text = va_arg(args, const char *))
        to = stpcpy(to, text);
    va_end(args);
    return joined;
}

char *arena_format(struct arena *arena, const char *format, ...)
{
    /* What is formatted is short: written once, to be copied, more often than counted first. */
    char at_hand[256];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(at_hand, sizeof at_hand, format, args);
    va_end(args);
    if (length < 0)
        return NULL;
    if ((size_t)length < sizeof at_hand)
        return arena_text(arena, at_hand, (size_t)length);
    char *text = arena_alloc(arena, (size_t)length + 1);
    if (text != NULL) {
        va_start(args, format);
        vsnprintf(text, (size_t)length + 1, format, args);
        va_end(args);
    }
    return text;
}
