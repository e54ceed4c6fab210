#include "worker/web/roll_search.h"

#include "base/own.h"

#include <string.h>

/* ---- folding ---- */

/* The small letter of a character of two bytes, likewise of two. */
static unsigned small(unsigned c)
{
    if ((c >= 0xc0 && c <= 0xde && c != 0xd7) || (c >= 0x391 && c <= 0x3a9) || (c >= 0x410 && c <= 0x42f))
        return c + 0x20;
    if (c >= 0x400 && c <= 0x40f)
        return c + 0x50;
    bool is_even_capital = (c >= 0x100 && c <= 0x137 && c != 0x130) || (c >= 0x14a && c <= 0x177) ||
                           (c >= 0x460 && c <= 0x481) || (c >= 0x48a && c <= 0x4bf);
    bool is_odd_capital = (c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e);
    if (is_even_capital && c % 2 == 0)
        return c + 1;
    return is_odd_capital && c % 2 == 1 ? c + 1 : c;
}

void web_roll_fold(uint8_t *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] >= 'A' && text[i] <= 'Z') {
            text[i] = (uint8_t)(text[i] | 0x20);
        } else if (text[i] >= 0xc3 && text[i] <= 0xd2 && i + 1 < length && (text[i + 1] & 0xc0) == 0x80) {
            unsigned c = small((unsigned)(text[i] & 0x1f) << 6 | (text[i + 1] & 0x3f));
            text[i] = (uint8_t)(0xc0 | c >> 6);
            text[++i] = (uint8_t)(0x80 | (c & 0x3f));
        }
    }
}

/* ---- finding ---- */

struct word {
    const uint8_t *text;
    size_t length;
};

struct words {
    struct word word[WEB_MOST_WORDS]; /* the longest first */
    size_t count;
};

/* `text` is folded and lives as long as the words. Further words than there is room for are ignored. */
static void split(const struct bytes *text, struct words *ret_words)
{
    const uint8_t *at = text->data, *end = text->data + text->length;
    *ret_words = (struct words){.count = 0};
    while (at < end && ret_words->count < WEB_MOST_WORDS) {
        const uint8_t *begin = at;
        while (at < end && *at != ' ' && *at != '\t' && *at != '\n')
            at++;
        if (at > begin) {
            struct word word = {begin, (size_t)(at - begin)};
            struct word *first = &ret_words->word[0];
            if (ret_words->count > 0 && word.length > first->length) {
                struct word shorter = *first;
                *first = word;
                word = shorter;
            }
            ret_words->word[ret_words->count++] = word;
        }
        at += at < end;
    }
}

static bool holds_all(const struct words *words, const uint8_t *line, size_t length)
{
    for (size_t i = 1; i < words->count; i++)
        if (memmem(line, length, words->word[i].text, words->word[i].length) == NULL)
            return false;
    return true;
}

/* The next line from `at` on that holds every word; NULL: none. *ret_end is its '\n' or the end of all. */
static const uint8_t *next_match(const struct words *words, const uint8_t *begin, const uint8_t *at,
                                 const uint8_t *end, const uint8_t **ret_end)
{
    const struct word *leading = &words->word[0];
    for (;;) {
        const uint8_t *hit = at >= end ? NULL
                                       : memmem(at, (size_t)(end - at), leading->text, leading->length);
        if (hit == NULL)
            return NULL;
        const uint8_t *before = memrchr(begin, '\n', (size_t)(hit - begin));
        const uint8_t *line = before == NULL ? begin : before + 1;
        const uint8_t *after = memchr(hit, '\n', (size_t)(end - hit));
        *ret_end = after == NULL ? end : after;
        if (holds_all(words, line, (size_t)(*ret_end - line)))
            return line;
        at = *ret_end + (after != NULL);
    }
}

/* Where the lines of a folder begin; NULL: it has none. */
static const uint8_t *first_of(const struct web_roll_text *roll, const char *folder, size_t length,
                               struct bytes *needle, struct err *err)
{
    if (bytes_format(needle, err, "\n%s/", folder) != RC_OK)
        return NULL;
    if (roll->length > length && memcmp(roll->line, needle->data + 1, length + 1) == 0)
        return roll->line;
    const uint8_t *hit = memmem(roll->line, roll->length, needle->data, length + 2);
    return hit == NULL ? NULL : hit + 1;
}

static bool is_below(const struct web_roll_match *match, const char *folder, size_t length)
{
    return length == 0 ||
           (match->length > length && memcmp(match->path, folder, length) == 0 && match->path[length] == '/');
}

enum rc web_roll_find(const struct web_roll_text *roll, const struct web_roll_wanted *wanted,
                      struct web_roll_found *found, struct err *err)
{
    OWN(bytes_done) struct bytes folded = {0}, needle = {0};
    struct words words;
    size_t folder_length = strlen(wanted->folder);
    const uint8_t *first = roll->line;
    found->count = found->total = 0;
    found->is_more = false;
    enum rc rc = bytes_append(&folded, wanted->words, strlen(wanted->words), err);
    if (rc != RC_OK)
        return rc;
    web_roll_fold(folded.data, folded.length);
    split(&folded, &words);
    if (roll->length == 0)
        return RC_OK;
    if (folder_length > 0)
        first = first_of(roll, wanted->folder, folder_length, &needle, err);
    if (first == NULL || words.count == 0)
        return needle.data == NULL && folder_length > 0 ? err->rc : RC_OK;
    const uint8_t *begin = roll->folded, *at = begin + (first - roll->line), *end = begin + roll->length;
    while (found->total < WEB_MOST_MATCHES) {
        const uint8_t *line_end = NULL, *line = next_match(&words, begin, at, end, &line_end);
        if (line == NULL)
            break;
        const struct web_roll_match match = {.path = (const char *)roll->line + (line - begin),
                                             .length = (size_t)(line_end - line)};
        if (!is_below(&match, wanted->folder, folder_length))
            break;
        if (found->total >= wanted->from && found->count < wanted->room)
            found->match[found->count++] = match;
        found->total++;
        at = line_end + 1;
    }
    found->is_more = found->total == WEB_MOST_MATCHES;
    return RC_OK;
}
