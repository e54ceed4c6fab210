/* The program: its command line, and the steps of `vitrine serve` up to the supervisor's loop. */
#include "base/log.h"
#include "base/own.h"
#include "base/roots.h"
#include "master/ask.h"
#include "master/command.h"
#include "master/config_file.h"
#include "master/ingest.h"
#include "master/listen.h"
#include "master/manifest.h"
#include "master/manual.h"
#include "master/options.h"
#include "master/reload.h"
#include "master/store.h"
#include "master/supervise.h"
#include "worker/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PROGRAM "vitrine"

/* serve -------------------------------------------------------------------------------------------------- */

/* max_connections is the size of tables: what another master hands over has one already. */
static void fit_connections(struct settings *settings, const struct master_takeover *takeover)
{
    int64_t asked = settings->max_connections;
    bool is_lowered = master_options_fit(settings);
    if (takeover->state != TAKEOVER_NONE) {
        if (takeover->max_connections != settings->max_connections)
            log_warning("max_connections stays %" PRIu32 " until the next start", takeover->max_connections);
        settings->max_connections = takeover->max_connections;
    } else if (is_lowered) {
        log_warning("max_connections is lowered from %" PRId64 " to %" PRId64
                    ": the limit on open files allows no more",
                    asked, settings->max_connections);
    }
}

/* One listener: from another master, from the service manager, kept by it over a restart, or opened now. */
static enum rc find_listener(int *given, int *activated, int *kept, const char *address, int *ret_fd,
                             bool *ret_is_managed, struct err *err)
{
    *ret_is_managed = *given < 0 && *activated >= 0;
    int *source = *given >= 0                                         ? given
                  : *activated >= 0                                   ? activated
                  : *kept >= 0 && master_listen_is_at(*kept, address) ? kept
                                                                      : NULL;
    if (source != NULL) {
        *ret_fd = TAKE_FD(*source);
        return RC_OK;
    }
    own_close(kept); /* it would be in the way of the new one */
    *kept = -1;
    return address[0] != '\0' ? master_listen_open(address, ret_fd, err) : RC_OK;
}

static enum rc open_listeners(const struct settings *settings, struct master_launch *launch, struct err *err)
{
    struct master_takeover *takeover = launch->takeover;
    struct master_activation *activation = launch->activation;
    enum rc rc = find_listener(&takeover->public, &activation->public, &activation->kept_public,
                               settings->listen, &launch->public, &launch->is_public_managed, err);
    return rc != RC_OK ? rc
                       : find_listener(&takeover->admin, &activation->admin, &activation->kept_admin,
                                       settings->admin, &launch->admin, &launch->is_admin_managed, err);
}

static void log_listeners(const struct settings *settings, const struct master_launch *launch)
{
    char address[MASTER_LISTEN_TEXT_BYTES], images[1024];
    master_listen_text(launch->public, address);
    roots_text(settings->images, images, sizeof images);
    log_info("vitrine %s serves %s on http://%s with %u workers", VITRINE_VERSION, images, address,
             master_options_workers(settings));
    if (launch->admin < 0)
        return;
    master_listen_text(launch->admin, address);
    log_info("admin listener on http://%s", address);
}

/* What does not fit is closed; then this is a start like any other. */
static void check_kept(struct master_activation *activation, const struct settings *settings)
{
    struct err err = {0};
    if (activation->table < 0 && activation->journal < 0 && activation->connection_count == 0)
        return;
    activation->has_kept = true;
    if (master_store_check(activation, (uint32_t)settings->max_connections, &err) == RC_OK)
        return;
    log_warning("what was kept over the restart cannot be used: %s; %u connections are closed", err.message,
                activation->connection_count);
    master_activation_drop(activation);
}

static int serve(char *const *argv, struct master_config **config)
{
    struct settings *settings = &(*config)->settings;
    OWN(master_takeover_done) struct master_takeover takeover;
    OWN(master_program_done) struct master_program program = {0};
    OWN(master_activation_done) struct master_activation activation;
    struct master_launch launch = {.argument = argv + 2,
                                   .public = -1,
                                   .admin = -1,
                                   .program = &program,
                                   .takeover = &takeover,
                                   .activation = &activation};
    struct err err = {0};
    log_init("master", settings_log_level(settings));
    enum rc rc = master_activation_take(&activation, &err);
    if (rc != RC_OK)
        return master_command_failed(&err);
    rc = master_takeover_begin(&takeover, &err);
    if (rc == RC_OK)
        rc = master_program_find(argv, &program, &err);
    if (rc != RC_OK)
        return master_command_failed(&err);
    fit_connections(settings, &takeover);
    check_kept(&activation, settings);
    if (open_listeners(settings, &launch, &err) != RC_OK)
        return master_command_failed(&err);
    log_listeners(settings, &launch);
    launch.config = TAKE_PTR(*config);
    return master_supervise(&launch);
}

/* Prints all that is wrong; true when nothing is. */
static bool is_sound(const struct master_config *config)
{
    if (config->problems.length > 0) /* an empty list has no memory */
        fwrite(config->problems.data, 1, config->problems.length, stderr);
    return config->problem_count == 0;
}

static int command_serve(char *const *argv)
{
    struct err err = {0};
    OWN(master_config_free) struct master_config *config = NULL;
    if (master_config_new(&config, &err) != RC_OK)
        return master_command_failed(&err);
    enum rc rc = master_options_load(argv + 2, config, &err);
    bool sound = is_sound(config);
    if (rc != RC_OK)
        return master_command_refused(PROGRAM, &err);
    return sound ? serve(argv, &config) : MASTER_EXIT_FAILED;
}

static int command_check_config(char **argument)
{
    struct err err = {0};
    if (argument[0] == NULL || argument[1] != NULL) {
        err_set(&err, RC_BAD_REQUEST, "check-config takes one file");
        return master_command_usage(PROGRAM, &err);
    }
    OWN(master_config_done) struct master_config config;
    if (master_config_init(&config, &err) != RC_OK)
        return master_command_failed(&err);
    enum rc rc = master_config_read(&config, argument[0], &err);
    if (rc == RC_OK && !config.is_unreadable)
        rc = master_config_check(&config, &err);
    if (rc != RC_OK)
        return master_command_failed(&err);
    bool sound = is_sound(&config);
    if (!worker_check_lists(&config.settings) || !sound)
        return MASTER_EXIT_FAILED;
    printf("%s: nothing is wrong\n", argument[0]);
    return 0;
}

/* The options of serve may follow the identifier. */
static int command_resolve(char *const *argv)
{
    struct err err = {0};
    OWN(master_config_free) struct master_config *config = NULL;
    if (argv[2] == NULL || argv[2][0] == '-') {
        err_set(&err, RC_BAD_REQUEST, "resolve takes an identifier, then options of serve");
        return master_command_usage(PROGRAM, &err);
    }
    if (master_config_new(&config, &err) != RC_OK)
        return master_command_failed(&err);
    enum rc rc = master_options_load(argv + 3, config, &err);
    bool sound = is_sound(config);
    if (rc != RC_OK)
        return master_command_refused(PROGRAM, &err);
    if (!sound)
        return MASTER_EXIT_FAILED;
    return worker_check_resolve(&config->settings, argv[2], &err) ? 0 : master_command_failed(&err);
}

static int command_ingest(char *const *argument)
{
    struct err err = {0};
    bool is_done = false;
    OWN(master_ingest_options_done) struct master_ingest_options options;
    enum rc rc = master_ingest_options_load(argument, &options, &err);
    if (rc == RC_OK && options.is_help) {
        master_manual_ingest();
        return fflush(stdout) == 0 ? 0 : MASTER_EXIT_FAILED;
    }
    bool sound = is_sound(&options.config);
    if (rc != RC_OK)
        return master_command_refused(PROGRAM, &err);
    if (!sound)
        return MASTER_EXIT_FAILED;
    rc = master_ingest(&options, &is_done, &err);
    return rc != RC_OK ? master_command_failed(&err) : is_done ? 0 : MASTER_EXIT_FAILED;
}

static int print(void (*what)(void))
{
    what();
    return fflush(stdout) == 0 ? 0 : MASTER_EXIT_FAILED;
}

static int command_print_man_page(const char *name)
{
    struct err err = {0};
    if (master_manual_page(name != NULL ? name : "vitrine"))
        return fflush(stdout) == 0 ? 0 : MASTER_EXIT_FAILED;
    err_set(
        &err, RC_BAD_REQUEST,
        "there is no manual page %s; there are vitrine, vitrine-ingest, vitrine-manifest and vitrine.conf",
        name);
    return master_command_usage(PROGRAM, &err);
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
        return master_command_usage(PROGRAM, &err);
    }
    const char *command = argv[1];
    if (strcmp(command, "ingest") == 0)
        return command_ingest(argv + 2);
    if (strcmp(command, "manifest") == 0)
        return master_manifest(argv + 2);
    if (argc == 3 && strcmp(argv[2], "--help") == 0 && master_manual_has_command(command))
        return print(master_manual_help);
    if (strcmp(command, "serve") == 0)
        return command_serve(argv);
    if (strcmp(command, "check-config") == 0)
        return command_check_config(argv + 2);
    if (strcmp(command, "purge") == 0)
        return master_ask_purge(argv + 2);
    if (strcmp(command, "prune") == 0)
        return master_ask_prune(argv + 2);
    if (strcmp(command, "status") == 0)
        return master_ask_status(argv + 2);
    if (strcmp(command, "warm") == 0)
        return master_ask_warm(argv + 2);
    if (strcmp(command, "resolve") == 0)
        return command_resolve(argv);
    if (strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0)
        return print(master_manual_help);
    if (strcmp(command, "--version") == 0)
        return print(print_version);
    if (strcmp(command, "--print-sample-config") == 0)
        return print(master_manual_sample_config);
    if (strcmp(command, "--print-man-page") == 0)
        return command_print_man_page(argv[2]);
    err_set(&err, RC_BAD_REQUEST, "there is no command %s", command);
    return master_command_usage(PROGRAM, &err);
}
