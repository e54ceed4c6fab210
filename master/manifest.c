#include "master/manifest.h"

#include "base/own.h"
#include "master/manual.h"
#include "master/options.h"
#include "worker/publish.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COMMAND "vitrine manifest"

enum { INTO, BASE_URL, VERSION, RECURSIVE, HELP };

const struct master_flag master_manifest_flags[] = {
    [INTO] = {"--into", "DIR",
              "where the files go, as DIR/presentation/3/PATH/manifest; made where it is missing"},
    [BASE_URL] = {"--base-url", "URL", "what their addresses begin with, before /presentation and /iiif"},
    [VERSION] = {"--version", "2|3", "of the Presentation API; both where it is not said"},
    [RECURSIVE] = {"--recursive", NULL, "also the documents of everything below"},
    [HELP] = {"--help", NULL, "this text"},
};
const size_t master_manifest_flag_count = sizeof master_manifest_flags / sizeof master_manifest_flags[0];

struct words {
    struct worker_publication publication;
    const char **path; /* the plain words, NULL behind the last */
    size_t path_count;
    const char *base_url;
    bool is_help;
};

static enum rc take_flag(struct words *words, size_t flag, const char *value, struct err *err)
{
    switch (flag) {
    case INTO:
        words->publication.into = value;
        return RC_OK;
    case BASE_URL:
        words->base_url = value;
        return RC_OK;
    case VERSION:
        assert(value != NULL); /* by the table */
        if (strcmp(value, "2") != 0 && strcmp(value, "3") != 0)
            return err_set(err, RC_BAD_REQUEST, "--version %s: there are 2 and 3", value);
        words->publication.version[value[0] - '0'] = true;
        return RC_OK;
    case RECURSIVE:
        words->publication.is_recursive = true;
        return RC_OK;
    default:
        words->is_help = true;
        return RC_OK;
    }
}

/* One of the flags above; *ret_taken false: it is none. Moves to the last word of it. */
static enum rc take_own(struct words *words, char *const **word, bool *ret_taken, struct err *err)
{
    size_t number;
    const char *value;
    enum rc rc = master_command_flag(master_manifest_flags, master_manifest_flag_count, word, &number, &value,
                                     err);
    *ret_taken = rc == RC_OK && number < master_manifest_flag_count;
    return *ret_taken ? take_flag(words, number, value, err) : rc;
}

static enum rc take_words(char *const *argument, struct words *words, struct master_config *config,
                          const char **ret_file, struct err *err)
{
    enum rc rc = RC_OK;
    words->path_count = 0;
    for (; *argument != NULL && rc == RC_OK && !words->is_help; argument++) {
        bool is_taken = false;
        if ((*argument)[0] != '-') {
            words->path[words->path_count++] = *argument;
            continue;
        }
        rc = take_own(words, &argument, &is_taken, err);
        if (rc == RC_OK && !is_taken)
            rc = master_options_take(&argument, "serve", config, ret_file, err);
    }
    words->path[words->path_count] = NULL;
    return rc;
}

/* As master_options_load() does it: twice, so that the command line goes before the file. */
static enum rc load(char *const *argument, struct words *words, struct master_config *config, struct err *err)
{
    const char *file = NULL;
    enum rc rc = take_words(argument, words, config, &file, err);
    if (rc != RC_OK || words->is_help)
        return rc;
    if (words->publication.into == NULL)
        return err_set(err, RC_BAD_REQUEST, "manifest needs --into DIR");
    if (file != NULL) {
        rc = master_config_read(config, file, err);
        if (rc == RC_OK)
            rc = take_words(argument, words, config, &file, err);
    }
    if (rc == RC_OK && words->base_url != NULL)
        rc = master_config_override(config, settings_find("base_url"), words->base_url, err);
    return rc;
}

static enum rc check(struct words *words, struct master_config *config, struct err *err)
{
    static const char *const none[] = {"", NULL};
    if (config->problems.length > 0)
        fwrite(config->problems.data, 1, config->problems.length, stderr);
    if (config->problem_count > 0 || config->is_unreadable)
        return err_set(err, RC_UNSUPPORTED, "the configuration has to be right first");
    if (config->settings.base_url[0] == '\0')
        return err_set(err, RC_BAD_REQUEST,
                       "manifest needs --base-url URL: a file cannot know how it is reached");
    bool any = words->publication.version[2] || words->publication.version[3];
    for (int version = 2; version <= 3 && !any; version++)
        words->publication.version[version] = true;
    if (words->path_count == 0)
        memcpy(words->path, none, sizeof none);
    words->publication.settings = &config->settings;
    return RC_OK;
}

int master_manifest(char *const *argument)
{
    struct err err = {0};
    size_t count = 2;
    while (argument[count - 2] != NULL)
        count++;
    OWN(master_config_done) struct master_config config;
    if (master_config_init(&config, &err) != RC_OK)
        return master_command_refused(COMMAND, &err);
    struct words words = {.publication = {.is_recursive = false}};
    OWN_FREE const char **path = calloc(count, sizeof *path);
    words.path = path;
    if (path == NULL)
        return master_command_refused(COMMAND,
                                      (err_set(&err, RC_NO_MEMORY, "no memory for the command line"), &err));
    enum rc rc = load(argument, &words, &config, &err);
    if (rc == RC_OK && words.is_help) {
        master_manual_manifest();
        return fflush(stdout) == 0 ? 0 : MASTER_EXIT_FAILED;
    }
    struct worker_published published = {0};
    if (rc == RC_OK)
        rc = check(&words, &config, &err);
    if (rc == RC_OK)
        rc = worker_publish(&words.publication, words.path, &published, &err);
    if (rc != RC_OK)
        return master_command_refused(COMMAND, &err);
    printf("%" PRIu64 " document%s, %" PRIu64 " of them new or changed", published.documents,
           published.documents == 1 ? "" : "s", published.written);
    if (published.failures > 0)
        printf(", %" PRIu64 " failed", published.failures);
    printf("\n");
    return fflush(stdout) == 0 && published.failures == 0 ? 0 : MASTER_EXIT_FAILED;
}
