#include "worker/manifest/language.h"

#include "base/own.h"

#include <string.h>

static void json_release(json_t **json)
{
    json_decref(*json);
}

json_t *manifest_language_none(const char *text)
{
    return json_pack("{s:[s]}", "none", text);
}

static const char *kind_of(json_t *json)
{
    static const char *const name[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array", [JSON_STRING] = "a string",
        [JSON_INTEGER] = "a number", [JSON_REAL] = "a number",  [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "null",
    };
    return name[json_typeof(json)];
}

/* A string or an array of strings → an array of strings. */
static enum rc read_values(json_t *written, const char *name, json_t **ret_values, struct err *err)
{
    OWN(json_release) json_t *values = json_array();
    size_t count = json_is_array(written) ? json_array_size(written) : 1;
    for (size_t i = 0; i < count; i++) {
        json_t *value = json_is_array(written) ? json_array_get(written, i) : written;
        if (!json_is_string(value))
            return err_set(err, RC_BAD_REQUEST, "%s is %s where a text belongs", name, kind_of(value));
        if (json_array_append_new(values, json_copy(value)) != 0)
            return err_set(err, RC_NO_MEMORY, "no memory for a text");
    }
    *ret_values = TAKE_PTR(values);
    return RC_OK;
}

enum rc manifest_language_read(json_t *written, const char *name, json_t **ret_map, struct err *err)
{
    OWN(json_release) json_t *map = json_object();
    OWN(json_release) json_t *none = json_is_object(written) ? NULL : json_object();
    json_t *by_language = written;
    enum rc rc = RC_OK;
    if (none != NULL) {
        json_object_set(none, "none", written);
        by_language = none;
    }
    void *at = json_object_iter(by_language);
    for (; at != NULL && rc == RC_OK; at = json_object_iter_next(by_language, at)) {
        json_t *values = NULL;
        rc = read_values(json_object_iter_value(at), name, &values, err);
        if (rc == RC_OK && json_object_set_new(map, json_object_iter_key(at), values) != 0)
            rc = err_set(err, RC_NO_MEMORY, "no memory for a text");
    }
    if (rc == RC_OK && json_object_size(map) == 0)
        rc = err_set(err, RC_BAD_REQUEST, "%s is empty", name);
    if (rc == RC_OK)
        *ret_map = TAKE_PTR(map);
    return rc;
}

json_t *manifest_language_2(json_t *map)
{
    json_t *all = json_array();
    void *at = json_object_iter(map);
    for (; at != NULL; at = json_object_iter_next(map, at)) {
        const char *language = json_object_iter_key(at);
        json_t *values = json_object_iter_value(at);
        for (size_t i = 0; i < json_array_size(values); i++) {
            json_t *value = json_array_get(values, i);
            json_array_append_new(all, strcmp(language, "none") == 0
                                           ? json_incref(value)
                                           : json_pack("{s:O,s:s}", "@value", value, "@language", language));
        }
    }
    if (json_array_size(all) != 1)
        return all;
    json_t *only = json_incref(json_array_get(all, 0));
    json_decref(all);
    return only;
}
