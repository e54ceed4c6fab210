/* The program: its command line, and the steps of `vitrine serve` up to the supervisor's loop. */
#include "base/log.h"
#include "base/own.h"
#include "master/config_file.h"
#include "master/listen.h"
#include "master/manual.h"
#include "master/supervise.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#define EXIT_FAILED  1
#define EXIT_USAGE   2
#define MOST_WORKERS 128 /* half of the slots: a reload will need two generations at once */

static int usage(const struct err *err)
{
    fprintf(stderr, "vitrine: %s. \"vitrine --help\" lists what there is.\n", err->message);
    return EXIT_USAGE;
}

static int failed(const struct err *err)
{
    fprintf(stderr, "vitrine: %s\n", err->message);
    return EXIT_FAILED;
}

/* Command line ------------------------------------------------------------------------------------------- */

static const struct settings_row *find_flag(const char *flag, size_t length)
{
    for (size_t i = 0; i < settings_table_length; i++) {
        const char *known = settings_table[i].flag;
        if (known != NULL && strlen(known) == length && memcmp(known, flag, length) == 0)
            return &settings_table[i];
    }
    return NULL;
}

static enum rc apply_pair(struct master_config *config, const char *pair, struct err *err)
{
    const char *equals = strchr(pair, '=');
    if (equals == NULL)
        return err_set(err, RC_BAD_REQUEST, "--set %s has no value; write --set KEY=VALUE", pair);
    char name[64]; /* cut short it is still no setting */
    snprintf(name, sizeof name, "%.*s", (int)(equals - pair), pair);
    const struct settings_row *row = settings_find(name);
    if (row != NULL)
        return master_config_override(config, row, equals + 1, err);
    const struct settings_row *near = settings_find_near(name);
    if (near != NULL)
        return err_set(err, RC_BAD_REQUEST, "there is no setting %s; is %s meant?", name, near->name);
    return err_set(err, RC_BAD_REQUEST, "there is no setting %s", name);
}

/* Takes in the options of `serve`: --flag VALUE, --flag=VALUE, --set KEY=VALUE, -c FILE. */
static enum rc apply_options(char **argument, struct master_config *config, const char **ret_path,
                             struct err *err)
{
    for (; *argument != NULL; argument++) {
        const char *option = *argument;
        size_t length = strncmp(option, "--", 2) == 0 ? strcspn(option, "=") : strlen(option);
        bool is_file = strcmp(option, "-c") == 0, is_set = length == 5 && memcmp(option, "--set", 5) == 0;
        const struct settings_row *row = find_flag(option, length);
        if (!is_file && !is_set && row == NULL)
            return err_set(err, RC_BAD_REQUEST, "there is no option %s", option);
        const char *value = option[length] == '=' ? option + length + 1 : *++argument;
        if (value == NULL)
            return err_set(err, RC_BAD_REQUEST, "%s needs a value", option);
        enum rc rc = RC_OK;
        if (is_file)
            *ret_path = value;
        else
            rc = is_set ? apply_pair(config, value, err) : master_config_override(config, row, value, err);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

/* serve -------------------------------------------------------------------------------------------------- */

static uint32_t count_workers(const struct settings *settings)
{
    if (settings->workers > 0)
        return (uint32_t)settings->workers;
    cpu_set_t cpus;
    int count = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
    return count > MOST_WORKERS ? MOST_WORKERS : (uint32_t)count;
}

static void fit_connections(struct settings *settings)
{
    int64_t room = master_listen_room();
    if (settings->max_connections <= room)
        return;
    log_warning("max_connections is lowered from %" PRId64 " to %" PRId64
                ": the limit on open files allows no more",
                settings->max_connections, room);
    settings->max_connections = room;
}

static int serve(struct master_config *config)
{
    struct settings *settings = &config->settings;
    log_init("master", settings_log_level(settings));
    fit_connections(settings);
    OWN_FD int listener = -1;
    OWN_FD int admin = -1;
    struct err err = {0};
    enum rc rc = master_listen_open(settings->listen, &listener, &err);
    if (rc == RC_OK && settings->admin[0] != '\0')
        rc = master_listen_open(settings->admin, &admin, &err);
    if (rc != RC_OK)
        return failed(&err);
    uint32_t workers = count_workers(settings);
    char address[MASTER_LISTEN_TEXT_BYTES];
    master_listen_text(listener, address);
    log_info("vitrine %s serves %s on http://%s with %u workers", VITRINE_VERSION, settings->images, address,
             workers);
    if (admin >= 0) {
        master_listen_text(admin, address);
        log_info("admin listener on http://%s", address);
    }
    return master_supervise(settings, workers, (struct master_sockets){TAKE_FD(listener), TAKE_FD(admin)});
}

/* Prints all that is wrong; true when nothing is. */
static bool is_sound(struct master_config *config)
{
    struct err err = {0};
    enum rc rc = config->is_unreadable ? RC_OK : master_config_check(config, &err);
    if (config->problem_count > 0)
        fwrite(config->problems.data, 1, config->problems.length, stderr);
    if (rc != RC_OK)
        failed(&err);
    return rc == RC_OK && config->problem_count == 0;
}

static int command_serve(char **argument)
{
    OWN(master_config_done) struct master_config config;
    const char *path = NULL;
    struct err err = {0};
    if (master_config_init(&config, &err) != RC_OK)
        return failed(&err);
    /* Twice: a slip on the command line is said before the file is looked at, and the command line overrides
     * the file. */
    if (apply_options(argument, &config, &path, &err) != RC_OK)
        return usage(&err);
    if (path != NULL && (master_config_read(&config, path, &err) != RC_OK ||
                         apply_options(argument, &config, &path, &err) != RC_OK))
        return failed(&err);
    return is_sound(&config) ? serve(&config) : EXIT_FAILED;
}

static int command_check_config(char **argument)
{
    struct err err = {0};
    if (argument[0] == NULL || argument[1] != NULL) {
        err_set(&err, RC_BAD_REQUEST, "check-config takes one file");
        return usage(&err);
    }
    OWN(master_config_done) struct master_config config;
    if (master_config_init(&config, &err) != RC_OK)
        return failed(&err);
    if (master_config_read(&config, argument[0], &err) != RC_OK)
        return failed(&err);
    if (!is_sound(&config))
        return EXIT_FAILED;
    printf("%s: nothing is wrong\n", argument[0]);
    return 0;
}

static int print(void (*what)(void))
{
    what();
    return fflush(stdout) == 0 ? 0 : EXIT_FAILED;
}

static void print_version(void)
{
    printf("vitrine %s\n", VITRINE_VERSION);
}

int main(int argc, char **argv)
{
    struct err err = {0};
    if (argc < 2) {
        err_set(&err, RC_BAD_REQUEST, "a command is needed");
        return usage(&err);
    }
    const char *command = argv[1];
    if (strcmp(command, "serve") == 0)
        return argc == 3 && strcmp(argv[2], "--help") == 0 ? print(master_manual_help)
                                                           : command_serve(argv + 2);
    if (strcmp(command, "check-config") == 0)
        return command_check_config(argv + 2);
    if (strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0)
        return print(master_manual_help);
    if (strcmp(command, "--version") == 0)
        return print(print_version);
    if (strcmp(command, "--print-sample-config") == 0)
        return print(master_manual_sample_config);
    if (strcmp(command, "--print-man-page") == 0)
        return print(master_manual_man_page);
    err_set(&err, RC_BAD_REQUEST, "there is no command %s", command);
    return usage(&err);
}
