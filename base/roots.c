#include "base/roots.h"

#include <stdio.h>
#include <string.h>

static bool is_name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

/* Letters of the name that the line begins with; 0: it has none. */
static size_t name_length(const char *line)
{
    size_t length = 0;
    while (is_name_character(line[length]))
        length++;
    return line[length] == '=' ? length : 0;
}

bool roots_next(const char **rest, struct roots_root *ret_root)
{
    const char *line = *rest, separator[] = {ROOTS_SEPARATOR, '\0'};
    if (*line == '\0')
        return false;
    size_t length = strcspn(line, separator), name = name_length(line);
    const char *place = name > 0 ? line + name + 1 : line;
    snprintf(ret_root->name, sizeof ret_root->name, "%.*s", (int)name, line);
    snprintf(ret_root->place, sizeof ret_root->place, "%.*s", (int)(line + length - place), place);
    *rest = line + length + (line[length] != '\0');
    return true;
}

bool roots_is_remote(const char *place)
{
    return strncmp(place, "s3://", 5) == 0 || strncmp(place, "http://", 7) == 0 ||
           strncmp(place, "https://", 8) == 0;
}

bool roots_any_is_remote(const char *images)
{
    struct roots_root root;
    while (roots_next(&images, &root))
        if (roots_is_remote(root.place))
            return true;
    return false;
}

static const char *check_root(const struct roots_root *root)
{
    if (root->place[0] == '\0')
        return "a directory, s3://BUCKET or http(s)://HOST must be named";
    if (root->name[0] == '.')
        return "the name of an image root does not begin with a dot";
    if (strstr(root->place, "://") != NULL && !roots_is_remote(root->place) && root->place[0] != '/' &&
        root->place[0] != '.')
        return "addresses begin with s3://, http:// or https://";
    return NULL;
}

const char *roots_check(const char *images)
{
    struct roots_root root;
    const char *rest = images,
               *wrong = *images == '\0' ? "a directory, s3://BUCKET or http(s)://HOST must be named" : NULL;
    for (size_t count = 1; wrong == NULL; count++) {
        const char *line = rest;
        if (!roots_next(&rest, &root))
            break;
        wrong = name_length(line) >= ROOTS_NAME_BYTES        ? "the name of an image root is too long"
                : (size_t)(rest - line) >= ROOTS_PLACE_BYTES ? "the place of an image root is too long"
                : count > ROOTS_MOST                         ? "there are more than 16 image roots"
                                                             : check_root(&root);
    }
    return wrong;
}

const char *roots_below(const struct roots_root *root, const char *path)
{
    size_t length = strlen(root->name);
    if (length == 0)
        return path;
    return strncmp(path, root->name, length) == 0 && path[length] == '/' && path[length + 1] != '\0'
               ? path + length + 1
               : NULL;
}

void roots_text(const char *images, char *ret_text, size_t text_bytes)
{
    size_t out = 0;
    for (; *images != '\0' && out + 3 < text_bytes; images++)
        if (*images != ROOTS_SEPARATOR)
            ret_text[out++] = *images;
        else if (images[1] != '\0') {
            ret_text[out++] = ',';
            ret_text[out++] = ' ';
        }
    ret_text[out] = '\0';
}
