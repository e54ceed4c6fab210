#include "worker/iiif/identifier.h"

#include "worker/iiif/quote.h"

#include <string.h>

/* The length of the path in front of ";digits", or the whole length when there is no such suffix. */
static size_t page_suffix(const char *identifier, size_t length)
{
    size_t digits = length;
    while (digits > 0 && identifier[digits - 1] >= '0' && identifier[digits - 1] <= '9')
        digits--;
    return digits < length && digits > 0 && identifier[digits - 1] == ';' ? digits - 1 : length;
}

/* 0 when the digits are no page: a page has one name only, so no leading zeros. */
static uint32_t page_number(const char *digits)
{
    uint64_t page = 0;
    if (digits[0] == '0')
        return 0;
    for (; *digits != '\0'; digits++) {
        page = page * 10 + (uint64_t)(*digits - '0');
        if (page > UINT32_MAX)
            return 0;
    }
    return (uint32_t)page;
}

/* What is wrong with one component of a path, or NULL. */
static const char *component_fault(const char *component, size_t length)
{
    if (length == 0)
        return "has an empty part";
    if (component[0] == '.')
        return "has a part that begins with a dot";
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)component[i] < 0x20 || component[i] == 0x7f)
            return "holds a control byte";
    return NULL;
}

static const char *path_fault(const char *path, size_t length)
{
    for (size_t start = 0;;) {
        const char *slash = memchr(path + start, '/', length - start);
        size_t end = slash == NULL ? length : (size_t)(slash - path);
        const char *fault = component_fault(path + start, end - start);
        if (fault != NULL || slash == NULL)
            return fault;
        start = end + 1;
    }
}

size_t iiif_identifier_image_bytes(const char *identifier)
{
    return page_suffix(identifier, strlen(identifier));
}

enum rc iiif_identifier_read(const char *identifier, struct iiif_identifier *ret_identifier, struct err *err)
{
    size_t length = strlen(identifier);
    struct iiif_quote quote = iiif_quote_make(identifier, length);
    if (length == 0)
        return err_set(err, RC_NOT_FOUND, "the identifier is empty");
    if (length > IIIF_MAX_IDENTIFIER_BYTES)
        return err_set(err, RC_NOT_FOUND, "the identifier '%s' is longer than %u bytes", quote.text,
                       IIIF_MAX_IDENTIFIER_BYTES);

    size_t path_length = page_suffix(identifier, length);
    uint32_t page = path_length == length ? 1 : page_number(identifier + path_length + 1);
    if (page == 0)
        return err_set(err, RC_NOT_FOUND,
                       "the identifier '%s' names no page: pages count from 1, without leading zeros",
                       quote.text);
    const char *fault = path_fault(identifier, path_length);
    if (fault != NULL)
        return err_set(err, RC_NOT_FOUND, "the identifier '%s' names no image: it %s", quote.text, fault);

    memcpy(ret_identifier->path, identifier, path_length);
    ret_identifier->path[path_length] = '\0';
    ret_identifier->page = page;
    return RC_OK;
}
