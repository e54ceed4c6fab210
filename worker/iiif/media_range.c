#include "worker/iiif/media_range.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

/* How well one media type fares. Quality counts in thousandths, as finely as the header can say it. */
struct fare {
    int specificity; /* 0: no range matches, 1: any type, 2: type and any subtype, 3: by name */
    int quality;
};

struct range {
    const char *type;
    size_t type_length;
    int quality;
};

static const char *skip_space(const char *text)
{
    return text + strspn(text, " \t");
}

/* The end of a parameter or of a range: the next ; or , outside of quotes. */
static const char *find_delimiter(const char *text)
{
    bool quoted = false;
    for (; *text != '\0'; text++) {
        if (quoted && *text == '\\' && text[1] != '\0')
            text++;
        else if (*text == '"')
            quoted = !quoted;
        else if (!quoted && (*text == ';' || *text == ','))
            break;
    }
    return text;
}

static size_t trimmed_length(const char *text, const char *end)
{
    while (end > text && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return (size_t)(end - text);
}

/* "0", "1", "0.5", "1.000" in thousandths; -1 for anything else. */
static int read_quality(const char *text, size_t length)
{
    if (length < 1 || length > 5 || (text[0] != '0' && text[0] != '1') || (length > 1 && text[1] != '.'))
        return -1;
    int quality = text[0] - '0';
    for (size_t i = 2; i < 5; i++) {
        int digit = i < length ? text[i] - '0' : 0;
        if (digit < 0 || digit > 9)
            return -1;
        quality = quality * 10 + digit;
    }
    return quality <= 1000 ? quality : -1;
}

/* Reads one range and its parameters, and returns where the next one begins. A quality of -1 means: pass over
 * it. */
static const char *read_range(const char *text, struct range *ret_range)
{
    text = skip_space(text);
    const char *end = find_delimiter(text);
    *ret_range = (struct range){text, trimmed_length(text, end), 1000};
    while (*end == ';') {
        text = skip_space(end + 1);
        end = find_delimiter(text);
        size_t length = trimmed_length(text, end);
        if (length >= 2 && (text[0] == 'q' || text[0] == 'Q') && text[1] == '=')
            ret_range->quality = read_quality(text + 2, length - 2);
    }
    return *end == ',' ? end + 1 : end;
}

static int specificity(const struct range *range, const char *type)
{
    size_t major = strcspn(type, "/") + 1;
    if (range->type_length == strlen(type) && strncasecmp(range->type, type, range->type_length) == 0)
        return 3;
    if (range->type_length == major + 1 && strncasecmp(range->type, type, major) == 0 &&
        range->type[major] == '*')
        return 2;
    return range->type_length == 3 && strncmp(range->type, "*/*", 3) == 0 ? 1 : 0;
}

/* The most specific range decides; of equals, which differ in ignored parameters only, the most
 * favourable. */
static void judge(struct fare *fare, const struct range *range, const char *type)
{
    int specific = specificity(range, type);
    if (specific == 0 || specific < fare->specificity)
        return;
    if (specific > fare->specificity || range->quality > fare->quality)
        fare->quality = range->quality;
    fare->specificity = specific;
}

int iiif_media_range_compare(const char *accept, const char *a, const char *b)
{
    struct fare fare_a = {0, 0}, fare_b = {0, 0};
    while (*accept != '\0') {
        struct range range;
        accept = read_range(accept, &range);
        if (range.quality < 0)
            continue;
        judge(&fare_a, &range, a);
        judge(&fare_b, &range, b);
    }
    if (fare_a.quality != fare_b.quality || fare_a.quality == 0)
        return fare_a.quality - fare_b.quality;
    return fare_a.specificity - fare_b.specificity;
}
