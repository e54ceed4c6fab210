#include "master/reload.h"

#include "base/own.h"
#include "master/options.h"

#include <string.h>

/* Sockets are bound and tables have their size: these stay until the server is started again. */
static const char *const fixed[] = {
    "listen",    "admin",      "max_connections", "cache_files",       "memory_cache",
    "error_log", "access_log", "admin_socket",    "admin_socket_mode", "admin_socket_group"};

static enum rc keep_fixed(struct settings *settings, const struct settings *current, struct err *err)
{
    enum rc rc = RC_OK;
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0] && rc == RC_OK; i++) {
        const struct settings_row *row = settings_find(fixed[i]);
        if (settings_is_same(settings, current, row))
            continue;
        log_warning("HUP: %s cannot change while the server runs; it keeps its value", row->name);
        rc = settings_copy(settings, current, row, err);
    }
    return rc;
}

/* One line of the log per problem. */
static void log_problems(const struct master_config *config)
{
    const char *text = (const char *)config->problems.data, *end = text + config->problems.length;
    while (text < end) {
        const char *line_end = memchr(text, '\n', (size_t)(end - text));
        int length = (int)((line_end != NULL ? line_end : end) - text);
        log_error("HUP: %.*s", length, text);
        text += length + 1;
    }
}

enum rc master_reload_read(char *const *argument, const struct settings *current,
                           struct master_config **ret_config)
{
    struct err err = {0};
    OWN(master_config_free) struct master_config *config = NULL;
    enum rc rc = master_config_new(&config, &err);
    if (rc == RC_OK)
        rc = master_options_load(argument, config, &err);
    if (rc == RC_OK && config->problem_count > 0) {
        log_problems(config);
        rc = err_set(&err, RC_BAD_REQUEST, "the configuration is wrong");
    }
    if (rc == RC_OK) {
        master_options_fit(&config->settings);
        rc = keep_fixed(&config->settings, current, &err);
    }
    if (rc != RC_OK) {
        log_error("HUP: %s; nothing was changed", err.message);
        return rc;
    }
    *ret_config = TAKE_PTR(config);
    return RC_OK;
}
