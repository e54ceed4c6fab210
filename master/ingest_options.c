#include "master/ingest_options.h"

#include "base/own.h"
#include "master/options.h"
#include "master/warm.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define MOST_SHARDS 1000000

enum { INTO, LIST, BASE, REPORT, MANIFEST, THUMBNAILS, SHARD, FORCE, DRY_RUN, HELP };

const struct master_flag master_ingest_flags[] = {
    [INTO] = {"--into", "DIR|s3://BUCKET/PREFIX",
              "where the pyramids go; a folder is made where it is missing"},
    [LIST] =
        {"--list", "FILE",
         "names of sources, one per line, or each ended by a NUL as find -print0 does; -: standard input"},
    [BASE] = {"--base", "DIR", "what lies below this folder keeps its path from there"},
    [REPORT] = {"--report", "FILE", "a line of JSON for each file, appended"},
    [MANIFEST] =
        {"--manifest", NULL,
         "write the IIIF manifest of each pyramid, for the server of these settings (images, base_url)"},
    [THUMBNAILS] =
        {"--thumbnails", "W,W...",
         "have the running server of these settings make and keep pictures of these widths of each pyramid"},
    [SHARD] = {"--shard", "I/N", "only part I of N; auto or auto/N: as Slurm, Kubernetes or AWS Batch say"},
    [FORCE] = {"--force", NULL, "convert again what is done and unchanged"},
    [DRY_RUN] = {"--dry-run", NULL, "say what would be done, and change nothing"},
    [HELP] = {"--help", NULL, "this text"},
};
const size_t master_ingest_flag_count = sizeof master_ingest_flags / sizeof master_ingest_flags[0];

/* Shards ------------------------------------------------------------------------------------------------- */

/* A whole number that ends at `end`. */
static bool parse_number(const char *text, const char *end, uint32_t *ret_number)
{
    uint64_t number = 0;
    if (text == end)
        return false;
    for (; text < end; text++) {
        if (!isdigit((unsigned char)*text) || number > MOST_SHARDS)
            return false;
        number = number * 10 + (uint64_t)(*text - '0');
    }
    *ret_number = (uint32_t)number;
    return number <= MOST_SHARDS;
}

static bool environment_number(const char *name, uint32_t *ret_number)
{
    const char *text = getenv(name);
    return text != NULL && parse_number(text, text + strlen(text), ret_number);
}

/* Where in an array of jobs this one is, by whoever has started it; *ret_count 0: that is not said. */
static bool find_array(uint32_t *ret_shard, uint32_t *ret_count)
{
    uint32_t least = 0, step = 1;
    *ret_count = 0;
    if (environment_number("SLURM_ARRAY_TASK_ID", ret_shard)) {
        (void)environment_number("SLURM_ARRAY_TASK_COUNT", ret_count);
        (void)environment_number("SLURM_ARRAY_TASK_MIN", &least);
        (void)environment_number("SLURM_ARRAY_TASK_STEP", &step);
        if (step == 0 || *ret_shard < least)
            return false;
        *ret_shard = (*ret_shard - least) / step;
        return true;
    }
    if (environment_number("JOB_COMPLETION_INDEX", ret_shard))
        return true;
    if (!environment_number("AWS_BATCH_JOB_ARRAY_INDEX", ret_shard))
        return false;
    (void)environment_number("AWS_BATCH_JOB_ARRAY_SIZE", ret_count);
    return true;
}

/* Reads "I/N" (from 1), or "auto" and "auto/N": what Slurm, Kubernetes and AWS Batch say in the
 * environment. */
static enum rc read_shard(const char *text, uint32_t *ret_shard, uint32_t *ret_count, struct err *err)
{
    const char *slash = strchr(text, '/');
    bool is_auto = strncmp(text, "auto", 4) == 0 && (text[4] == '\0' || text + 4 == slash);
    uint32_t shard = 0, count = 0;
    if (is_auto && !find_array(&shard, &count))
        return err_set(err, RC_BAD_REQUEST,
                       "--shard %s: none of SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX and "
                       "AWS_BATCH_JOB_ARRAY_INDEX says which part this is",
                       text);
    if (!is_auto && (slash == NULL || !parse_number(text, slash, &shard) || shard == 0))
        return err_set(err, RC_BAD_REQUEST, "--shard %s: write I/N, such as 1/4 for the first of four parts",
                       text);
    if (slash != NULL && !parse_number(slash + 1, slash + strlen(slash), &count))
        return err_set(err, RC_BAD_REQUEST, "--shard %s: behind the / there must be the number of parts",
                       text);
    if (count == 0)
        return err_set(err, RC_BAD_REQUEST, "--shard %s: how many parts there are is not known; write auto/N",
                       text);
    shard -= is_auto ? 0 : 1;
    if (shard >= count)
        return err_set(err, RC_BAD_REQUEST, "--shard %s: this would be part %u of %u", text, shard + 1,
                       count);
    *ret_shard = shard;
    *ret_count = count;
    return RC_OK;
}

/* The line ----------------------------------------------------------------------------------------------- */

static enum rc take_flag(struct master_ingest_options *options, size_t flag, const char *value,
                         struct err *err)
{
    switch (flag) {
    case INTO:
        options->into = value;
        return RC_OK;
    case LIST:
        options->list = value;
        return RC_OK;
    case BASE:
        options->base = value;
        return RC_OK;
    case REPORT:
        options->report = value;
        return RC_OK;
    case MANIFEST:
        options->manifests = true;
        return RC_OK;
    case THUMBNAILS:
        options->thumbnails = value;
        return master_warm_are_sizes(value)
                   ? RC_OK
                   : err_set(err, RC_BAD_REQUEST, "--thumbnails %s: write widths, such as 128,400", value);
    case SHARD:
        return read_shard(value, &options->shard, &options->shard_count, err);
    case FORCE:
        options->is_forced = true;
        return RC_OK;
    case DRY_RUN:
        options->is_dry_run = true;
        return RC_OK;
    default:
        options->is_help = true;
        return RC_OK;
    }
}

/* One of the flags above; *ret_taken false: it is none. Moves to the last word of it. */
static enum rc take_own(struct master_ingest_options *options, char *const **word, bool *ret_taken,
                        struct err *err)
{
    size_t number;
    const char *value;
    enum rc rc = master_command_flag(master_ingest_flags, master_ingest_flag_count, word, &number, &value,
                                     err);
    *ret_taken = rc == RC_OK && number < master_ingest_flag_count;
    return *ret_taken ? take_flag(options, number, value, err) : rc;
}

static enum rc take_words(char *const *word, struct master_ingest_options *options, const char **ret_path,
                          struct err *err)
{
    size_t sources = 0;
    bool are_options_over = false;
    for (; *word != NULL; word++) {
        bool is_taken = false;
        enum rc rc = RC_OK;
        if (!are_options_over && strcmp(*word, "--") == 0) {
            are_options_over = true;
            continue;
        }
        if (!are_options_over && **word == '-') {
            rc = take_own(options, &word, &is_taken, err);
            if (rc == RC_OK && !is_taken)
                rc = master_options_take(&word, "ingest", &options->config, ret_path, err);
        } else {
            options->source[sources++] = *word;
        }
        if (rc != RC_OK)
            return rc;
    }
    options->source[sources] = NULL;
    return RC_OK;
}

static enum rc check(const struct master_ingest_options *options, struct err *err)
{
    if (options->source[0] == NULL && options->list == NULL)
        return err_set(err, RC_BAD_REQUEST, "ingest needs sources: files, folders, patterns, or --list FILE");
    if (options->into == NULL)
        return err_set(err, RC_BAD_REQUEST, "ingest needs --into, the folder for the pyramids");
    if (strstr(options->into, "://") != NULL && strncmp(options->into, "s3://", 5) != 0)
        return err_set(err, RC_BAD_REQUEST, "--into %s: pyramids go to a folder or to s3://BUCKET/PREFIX",
                       options->into);
    return RC_OK;
}

enum rc master_ingest_options_load(char *const *argument, struct master_ingest_options *ret_options,
                                   struct err *err)
{
    struct master_ingest_options *options = ret_options;
    const char *path = NULL;
    size_t count = 0;
    while (argument[count] != NULL)
        count++;
    *options = (struct master_ingest_options){.shard_count = 1, .source = calloc(count + 1, sizeof(char *))};
    if (options->source == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the command line");
    enum rc rc = master_config_init(&options->config, err);
    if (rc == RC_OK)
        rc = take_words(argument, options, &path, err);
    if (rc != RC_OK || options->is_help)
        return rc;
    /* Twice, as for serve: what the command line says goes before what the file says. */
    if (path != NULL)
        rc = master_config_read(&options->config, path, err);
    if (rc == RC_OK && path != NULL)
        rc = take_words(argument, options, &path, err);
    return rc == RC_OK ? check(options, err) : rc;
}

void master_ingest_options_done(struct master_ingest_options *options)
{
    master_config_done(&options->config);
    free(TAKE_PTR(options->source));
}
