/* Numbers as text, for what every request pays for several times: printf() takes half a microsecond for each.
 * Nothing ends in a NUL; each returns where it has ended. Pure. */
#ifndef BASE_DIGITS_H
#define BASE_DIGITS_H

#include <stddef.h>
#include <stdint.h>

/* At most ten digits. */
static inline char *digits_decimal(char *to, uint32_t value)
{
    char digit[10];
    size_t count = 0;
    do
        digit[count++] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    while (count > 0)
        *to++ = digit[--count];
    return to;
}

/* The last `count` digits, with zeros before them. */
static inline char *digits_padded(char *to, uint32_t value, int count)
{
    for (int i = count - 1; i >= 0; i--, value /= 10)
        to[i] = (char)('0' + value % 10);
    return to + count;
}

/* The last `count` digits to the base 16, in small letters, with zeros before them. */
static inline char *digits_hex(char *to, uint64_t value, int count)
{
    for (int i = count - 1; i >= 0; i--, value >>= 4)
        to[i] = "0123456789abcdef"[value & 15];
    return to + count;
}

#endif
