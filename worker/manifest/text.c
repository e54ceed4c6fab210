#include "worker/manifest/text.h"

#include <ctype.h>
#include <string.h>

/* Bytes of the character that begins here; 0 where none does. Unicode 15, table 3-7. */
static size_t character_bytes(const unsigned char *c, size_t left)
{
    size_t length = c[0] < 0x80   ? 1
                    : c[0] < 0xc2 ? 0
                    : c[0] < 0xe0 ? 2
                    : c[0] < 0xf0 ? 3
                    : c[0] < 0xf5 ? 4
                                  : 0;
    if (length == 0 || length > left)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) || (c[0] == 0xf0 && c[1] < 0x90) ||
        (c[0] == 0xf4 && c[1] > 0x8f))
        return 0;
    return length;
}

bool manifest_text_is_utf8(const char *text, size_t length)
{
    for (size_t at = 0, bytes; at < length; at += bytes) {
        bytes = character_bytes((const unsigned char *)text + at, length - at);
        if (bytes == 0)
            return false;
    }
    return true;
}

const char *manifest_text_clean(struct arena *arena, const char *text, size_t length, size_t max_bytes)
{
    length = strnlen(text, length);
    while (length > 0 && (unsigned char)text[length - 1] <= ' ')
        length--;
    for (; length > 0 && (unsigned char)*text <= ' '; length--)
        text++;
    bool is_utf8 = manifest_text_is_utf8(text, length);
    char *clean = arena_alloc(arena, (length < max_bytes ? length : max_bytes) * 2 + 1);
    if (clean == NULL)
        return NULL;
    size_t written = 0;
    for (size_t at = 0, bytes; at < length; at += bytes) {
        unsigned char c = (unsigned char)text[at];
        bytes = is_utf8 ? character_bytes((const unsigned char *)text + at, length - at) : 1;
        size_t needed = is_utf8 || c < 0x80 ? bytes : 2;
        if (written + needed > max_bytes)
            break;
        if (c < ' ' || c == 0x7f) {
            clean[written++] = ' ';
        } else if (is_utf8 || c < 0x80) {
            memcpy(clean + written, text + at, bytes);
            written += bytes;
        } else { /* Latin-1 is the beginning of Unicode */
            clean[written++] = (char)(0xc0 | c >> 6);
            clean[written++] = (char)(0x80 | (c & 0x3f));
        }
    }
    clean[written] = '\0';
    return clean;
}

static size_t skip_zeros(const char *digits)
{
    size_t zeros = strspn(digits, "0");
    return isdigit((unsigned char)digits[zeros]) || zeros == 0 ? zeros : zeros - 1;
}

/* Two runs of digits by their value; both pointers end behind them. */
static int compare_numbers(const char **left, const char **right)
{
    *left += skip_zeros(*left);
    *right += skip_zeros(*right);
    size_t left_digits = strspn(*left, "0123456789"), right_digits = strspn(*right, "0123456789");
    int order = left_digits != right_digits ? (left_digits < right_digits ? -1 : 1)
                                            : memcmp(*left, *right, left_digits);
    *left += left_digits;
    *right += right_digits;
    return order;
}

int manifest_text_natural(const char *left, const char *right)
{
    const char *a = left, *b = right;
    while (*a != '\0' && *b != '\0') {
        int order = 0;
        if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b))
            order = compare_numbers(&a, &b);
        else
            order = tolower((unsigned char)*a++) - tolower((unsigned char)*b++);
        if (order != 0)
            return order;
    }
    return *a != *b ? (*a == '\0' ? -1 : 1) : strcmp(left, right);
}
