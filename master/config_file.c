#include "master/config_file.h"

#include "base/log.h"
#include "base/own.h"
#include "base/probe.h"
#include "base/roots.h"
#include "master/config_rules.h"
#include "worker/check.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MOST_BYTES    (1024 * 1024)
#define FOLDER_PATIENCE_MS 1000 /* also the longest that a HUP stops the master */

enum rc master_config_init(struct master_config *config, struct err *err)
{
    *config = (struct master_config){0};
    enum rc rc = settings_init(&config->settings, err);
    if (rc != RC_OK)
        return rc;
    config->line = calloc(settings_table_length, sizeof *config->line);
    config->is_fixed = calloc(settings_table_length, sizeof *config->is_fixed);
    config->has_begun = calloc(settings_table_length, sizeof *config->has_begun);
    if (config->line == NULL || config->is_fixed == NULL || config->has_begun == NULL) {
        master_config_done(config);
        return err_set(err, RC_NO_MEMORY, "no memory for the configuration");
    }
    return RC_OK;
}

void master_config_done(struct master_config *config)
{
    settings_done(&config->settings);
    free(TAKE_PTR(config->line));
    free(TAKE_PTR(config->is_fixed));
    free(TAKE_PTR(config->has_begun));
    ingest_rules_done(&config->rules);
    bytes_done(&config->problems);
}

enum rc master_config_new(struct master_config **ret_config, struct err *err)
{
    OWN_FREE struct master_config *config = calloc(1, sizeof *config);
    if (config == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the configuration");
    enum rc rc = master_config_init(config, err);
    if (rc == RC_OK)
        *ret_config = TAKE_PTR(config);
    return rc;
}

void master_config_free(struct master_config **config)
{
    struct master_config *freed = TAKE_PTR(*config);
    if (freed == NULL)
        return;
    master_config_done(freed);
    free(freed);
}

enum rc master_config_override(struct master_config *config, const struct settings_row *row,
                               const char *value, struct err *err)
{
    bool *has_begun = &config->has_begun[row - settings_table];
    enum rc rc = *has_begun ? settings_add(&config->settings, row, value, err)
                            : settings_set(&config->settings, row, value, err);
    if (rc == RC_OK) {
        *has_begun = row->type == SETTINGS_LIST;
        config->line[row - settings_table] = 0;
        config->is_fixed[row - settings_table] = true;
    }
    return rc;
}

enum rc master_config_problem(struct master_config *config, unsigned line, const char *sentence,
                              struct err *err)
{
    config->problem_count++;
    if (line == 0)
        return bytes_format(&config->problems, err, "%s\n", sentence);
    return bytes_format(&config->problems, err, "%s:%u: %s\n", config->path, line, sentence);
}

static enum rc config_file_problem(struct master_config *config, const char *sentence, int os_errno,
                                   struct err *err)
{
    struct err said;
    err_set_errno(&said, RC_IO, os_errno, "%s: %s", config->path, sentence);
    return master_config_problem(config, 0, said.message, err);
}

/* The text of the file ----------------------------------------------------------------------------------- */

/* libconfig 1.5 reads a number beyond 32 bits as another number, silently, unless an L follows. Whoever
 * writes `max_source_pixels = 40000000000;` shall not have to know that: this puts the L there. Nothing is
 * added but this letter, so lines keep their numbers. libconfig does not mind a text or comment that never
 * ends: *ret_open says where one begins. */
static enum rc config_widen_numbers(const char *text, struct bytes *out, const char **ret_open,
                                    struct err *err)
{
    *ret_open = NULL;
    const char *p = text;
    enum rc rc = RC_OK;
    while (*p != '\0' && rc == RC_OK) {
        const char *start = p;
        bool is_wide = false;
        if (*p == '"') {
            for (p++; *p != '\0' && *p != '"'; p++)
                if (*p == '\\' && p[1] != '\0')
                    p++;
            if (*p == '\0')
                *ret_open = start;
            else
                p++;
        } else if (*p == '#' || (*p == '/' && p[1] == '/')) {
            p += strcspn(p, "\n");
        } else if (*p == '/' && p[1] == '*') {
            const char *end = strstr(p + 2, "*/");
            if (end == NULL)
                *ret_open = start;
            p = end != NULL ? end + 2 : p + strlen(p);
        } else if (isalpha((unsigned char)*p) || *p == '*') {
            while (isalnum((unsigned char)*p) || *p == '-' || *p == '_' || *p == '*')
                p++;
        } else if (isdigit((unsigned char)*p)) {
            errno = 0;
            long long value = strtoll(p, NULL, 10);
            is_wide = value > INT_MAX;
            while (isdigit((unsigned char)*p))
                p++;
            if (isalpha((unsigned char)*p) || *p == '.') { /* 0x10, 5L, 1.5, 2e6: as they are */
                is_wide = false;
                while (isalnum((unsigned char)*p) || *p == '.')
                    p++;
            }
        } else {
            p++;
        }
        rc = bytes_append(out, start, (size_t)(p - start), err);
        if (is_wide && rc == RC_OK)
            rc = bytes_append(out, "L", 1, err);
    }
    /* libconfig wants a line end even behind a comment that ends the file. */
    return rc == RC_OK ? bytes_append(out, "\n", 2, err) : rc;
}

static unsigned config_line_at(const char *text, const char *at)
{
    unsigned line = 1;
    for (; text < at; text++)
        line += *text == '\n';
    return line;
}

/* The whole file, terminated. *ret_problem tells what kept it from being read. */
static enum rc config_slurp(const char *path, struct bytes *text, const char **ret_problem, int *ret_errno,
                            struct err *err)
{
    OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    *ret_problem = NULL;
    *ret_errno = 0;
    if (fd < 0 || fstat(fd, &st) < 0) {
        *ret_problem = "the file cannot be opened";
        *ret_errno = errno;
        return RC_OK;
    }
    if (S_ISDIR(st.st_mode)) {
        *ret_problem = "this is a directory, not a configuration file";
        return RC_OK;
    }
    for (;;) {
        enum rc rc = bytes_reserve(text, 4096, err);
        if (rc != RC_OK)
            return rc;
        ssize_t n = read(fd, text->data + text->length, 4096);
        if (n > 0)
            text->length += (size_t)n;
        else if (n == 0)
            return bytes_append(text, "", 1, err);
        else if (errno != EINTR) {
            *ret_problem = "the file cannot be read";
            *ret_errno = errno;
            return RC_OK;
        }
        if (text->length > FILE_MOST_BYTES) {
            *ret_problem = "the file is larger than any configuration";
            return RC_OK;
        }
    }
}

/* One setting -------------------------------------------------------------------------------------------- */

/* What the setting says, or one of the list that it is; `settings_take` adds it to others or replaces what
 * was there. */
static enum rc config_take_value(struct master_config *config, const config_setting_t *setting,
                                 const struct settings_row *row,
                                 enum rc (*settings_take)(struct settings *, const struct settings_row *,
                                                          const char *, struct err *),
                                 struct err *err)
{
    unsigned line = (unsigned)config_setting_source_line(setting);
    char number[MASTER_CONFIG_NUMBER_BYTES];
    struct err wrong = {0};
    const char *value = master_config_value(setting, row, row->name, number, &wrong);
    if (value == NULL)
        return master_config_problem(config, line, wrong.message, err);
    config->line[row - settings_table] = line;
    enum rc rc = settings_take(&config->settings, row, value, &wrong);
    return rc == RC_OK ? RC_OK : master_config_problem(config, line, wrong.message, err);
}

static enum rc config_take_list(struct master_config *config, const config_setting_t *list,
                                const struct settings_row *row, struct err *err)
{
    enum rc rc = RC_OK;
    for (int i = 0; i < config_setting_length(list) && rc == RC_OK; i++)
        rc = config_take_value(config, config_setting_get_elem(list, (unsigned)i), row,
                               i == 0 ? settings_set : settings_add, err);
    config->line[row - settings_table] = (unsigned)config_setting_source_line(list);
    return rc;
}

static enum rc config_take(struct master_config *config, const config_setting_t *setting, struct err *err)
{
    unsigned line = (unsigned)config_setting_source_line(setting);
    const char *name = config_setting_name(setting);
    const struct settings_row *row = settings_find(name);
    struct err wrong = {0};
    if (row == NULL && strcmp(name, MASTER_CONFIG_RULES_KEY) == 0)
        return master_config_rules_take(config, setting, err);
    if (row == NULL) {
        const struct settings_row *near = settings_find_near(name);
        err_set(&wrong, RC_BAD_REQUEST,
                near != NULL ? "there is no setting %s; is %s meant?" : "there is no setting %s", name,
                near != NULL ? near->name : "");
        return master_config_problem(config, line, wrong.message, err);
    }
    int type = config_setting_type(setting);
    if (row->type == SETTINGS_LIST && (type == CONFIG_TYPE_ARRAY || type == CONFIG_TYPE_LIST) &&
        config_setting_length(setting) > 0)
        return config_take_list(config, setting, row, err);
    return config_take_value(config, setting, row, settings_set, err);
}

static void config_destroy_library(config_t *library)
{
    config_destroy(library);
}

enum rc master_config_read(struct master_config *config, const char *path, struct err *err)
{
    OWN(bytes_done) struct bytes text = {0};
    OWN(bytes_done) struct bytes widened = {0};
    const char *problem, *open = NULL;
    int os_errno;
    config->path = path;
    memset(config->has_begun, 0, settings_table_length * sizeof *config->has_begun);
    enum rc rc = config_slurp(path, &text, &problem, &os_errno, err);
    config->is_unreadable = true;
    if (rc == RC_OK && problem != NULL)
        return config_file_problem(config, problem, os_errno, err);
    if (rc == RC_OK)
        rc = config_widen_numbers((const char *)text.data, &widened, &open, err);
    if (rc != RC_OK)
        return rc;
    if (open != NULL)
        return master_config_problem(config, config_line_at((const char *)text.data, open),
                                     *open == '"' ? "the text that begins here does not end"
                                                  : "the comment that begins here does not end",
                                     err);

    OWN(config_destroy_library) config_t library;
    config_init(&library);
    if (!config_read_string(&library, (const char *)widened.data))
        return master_config_problem(config, (unsigned)config_error_line(&library),
                                     config_error_text(&library), err);
    config->is_unreadable = false;
    const config_setting_t *root = config_root_setting(&library);
    for (int i = 0; i < config_setting_length(root) && rc == RC_OK; i++)
        rc = config_take(config, config_setting_get_elem(root, (unsigned)i), err);
    return rc;
}

/* All settings together ---------------------------------------------------------------------------------- */

static unsigned config_line_of(const struct master_config *config, const char *name)
{
    const struct settings_row *row = settings_find(name);
    return row != NULL ? config->line[row - settings_table] : 0;
}

static enum rc config_check_folder(struct master_config *config, const struct probe *probe, struct err *err)
{
    struct err wrong = {0};
    if (probe->answer_fd >= 0 || probe_is_away(probe->os_errno) || probe_has_failed(probe->os_errno)) {
        log_warning("images: the directory %s does not answer%s%s; it is taken as it is", probe->path,
                    probe->os_errno != 0 ? ": " : "", probe->os_errno != 0 ? strerror(probe->os_errno) : "");
        return RC_OK;
    }
    if (probe->os_errno == 0)
        return RC_OK;
    if (probe->os_errno == ENOTDIR)
        err_set(&wrong, RC_IO, "images: %s is no directory", probe->path);
    else
        err_set_errno(&wrong, RC_IO, probe->os_errno, "images: the directory %s cannot be read", probe->path);
    return master_config_problem(config, config_line_of(config, "images"), wrong.message, err);
}

static enum rc config_check_images(struct master_config *config, struct err *err)
{
    const char *rest = config->settings.images;
    size_t count = 0;
    struct probe probe[ROOTS_MOST];
    OWN_FREE struct roots_root *root = calloc(ROOTS_MOST, sizeof *root);
    if (root == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the image roots");
    while (count < ROOTS_MOST && roots_next(&rest, &root[count]))
        if (!roots_is_remote(root[count].place)) {
            probe[count] = (struct probe){.folder_fd = AT_FDCWD, .path = root[count].place};
            count++;
        }
    probe_folders(probe, count, FOLDER_PATIENCE_MS);
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < count; i++)
        rc = config_check_folder(config, &probe[i], err);
    probe_done(probe, count);
    return rc;
}

static enum rc config_check_cache(struct master_config *config, struct err *err)
{
    const char *cache = config->settings.cache;
    struct err wrong = {0};
    struct stat st;
    if (cache[0] == '\0' || stat(cache, &st) < 0)
        return RC_OK; /* a directory that is not there yet will be made */
    if (!S_ISDIR(st.st_mode))
        err_set(&wrong, RC_IO, "cache: %s is no directory", cache);
    else if (access(cache, R_OK | W_OK | X_OK) < 0)
        err_set_errno(&wrong, RC_IO, errno, "cache: the directory %s cannot be written", cache);
    return wrong.rc == RC_OK
               ? RC_OK
               : master_config_problem(config, config_line_of(config, "cache"), wrong.message, err);
}

static bool config_same_address(const char *a, const char *b)
{
    struct sockaddr_storage one, other;
    socklen_t one_length, other_length;
    if (settings_parse_address(a, &one, &one_length) != NULL ||
        settings_parse_address(b, &other, &other_length) != NULL)
        return false;
    return one_length == other_length && memcmp(&one, &other, one_length) == 0 &&
           strcmp(strrchr(a, ':'), ":0") != 0; /* port 0 is another port each time */
}

enum rc master_config_check(struct master_config *config, struct err *err)
{
    enum rc rc = config_check_images(config, err);
    if (rc == RC_OK)
        rc = config_check_cache(config, err);
    if (rc == RC_OK && config_same_address(config->settings.listen, config->settings.admin))
        rc = master_config_problem(config, config_line_of(config, "admin"),
                                   "admin and listen are the same address", err);
    struct err wrong = {0};
    const char *name = "";
    if (rc == RC_OK && worker_check_settings(&config->settings, &name, &wrong) != RC_OK)
        rc = master_config_problem(config, config_line_of(config, name), wrong.message, err);
    return rc;
}
