#include "master/options.h"

#include "master/listen.h"
#include "shm/segment.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

#define MOST_WORKERS (SHM_MAX_WORKERS / 2) /* a reload needs two generations at once */
#define NAME_BYTES   64

static const struct settings_row *find_flag(const char *command, const char *flag, size_t length)
{
    for (size_t i = 0; i < settings_table_length; i++) {
        const char *known = settings_table[i].flag;
        if (known != NULL && strlen(known) == length && memcmp(known, flag, length) == 0 &&
            strcmp(settings_command(&settings_table[i]), command) == 0)
            return &settings_table[i];
    }
    return NULL;
}

static enum rc apply_pair(struct master_config *config, const char *pair, struct err *err)
{
    const char *equals = strchr(pair, '=');
    if (equals == NULL)
        return err_set(err, RC_BAD_REQUEST, "--set %s has no value; write --set KEY=VALUE", pair);
    char name[NAME_BYTES]; /* longer than any that there is */
    snprintf(name, sizeof name, "%.*s", (int)(equals - pair < NAME_BYTES ? equals - pair : NAME_BYTES), pair);
    const struct settings_row *row = settings_find(name);
    if (row != NULL)
        return master_config_override(config, row, equals + 1, err);
    const struct settings_row *near = settings_find_near(name);
    if (near != NULL)
        return err_set(err, RC_BAD_REQUEST, "there is no setting %s; is %s meant?", name, near->name);
    return err_set(err, RC_BAD_REQUEST, "there is no setting %s", name);
}

enum rc master_options_take(char *const **word, const char *command, struct master_config *config,
                            const char **ret_path, struct err *err)
{
    const char *option = **word;
    size_t length = strncmp(option, "--", 2) == 0 ? strcspn(option, "=") : strlen(option);
    bool is_file = strcmp(option, "-c") == 0, is_set = length == 5 && memcmp(option, "--set", 5) == 0;
    const struct settings_row *row = find_flag(command, option, length);
    if (!is_file && !is_set && row == NULL)
        return err_set(err, RC_BAD_REQUEST, "there is no option %s", option);
    const char *value = option[length] == '=' ? option + length + 1 : *++*word;
    if (value == NULL)
        return err_set(err, RC_BAD_REQUEST, "%s needs a value", option);
    if (is_set)
        return apply_pair(config, value, err);
    if (!is_file)
        return master_config_override(config, row, value, err);
    *ret_path = value;
    return RC_OK;
}

static enum rc apply_options(char *const *argument, struct master_config *config, const char **ret_path,
                             struct err *err)
{
    enum rc rc = RC_OK;
    for (; *argument != NULL && rc == RC_OK; argument++)
        rc = master_options_take(&argument, "serve", config, ret_path, err);
    return rc;
}

enum rc master_options_load(char *const *argument, struct master_config *config, struct err *err)
{
    const char *path = NULL;
    /* Twice: a slip on the command line is said before the file is looked at, and the command line overrides
     * the file. */
    enum rc rc = apply_options(argument, config, &path, err);
    if (rc == RC_OK && path != NULL)
        rc = master_config_read(config, path, err);
    if (rc == RC_OK && path != NULL)
        rc = apply_options(argument, config, &path, err);
    if (rc == RC_OK && !config->is_unreadable)
        rc = master_config_check(config, err);
    return rc;
}

uint32_t master_options_workers(const struct settings *settings)
{
    if (settings->workers > 0)
        return (uint32_t)settings->workers;
    cpu_set_t cpus;
    int count = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
    return count > (int)MOST_WORKERS ? MOST_WORKERS : (uint32_t)count;
}

bool master_options_fit(struct settings *settings)
{
    int64_t room = master_listen_room();
    if (settings->max_connections <= room)
        return false;
    settings->max_connections = room;
    return true;
}
