/* purge, prune, status, warm: from their command lines to requests. */
#include "master/ask.h"

#include "base/log.h"
#include "base/own.h"
#include "master/command.h"
#include "master/config_file.h"
#include "master/options.h"
#include "master/reload.h"
#include "master/warm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PROGRAM     "vitrine"
#define UNUSED_DAYS 30
#define LINE_BYTES  8192
#define PROGRESS_MS 200

/* ---- command lines ---- */

#define MOST_ARGUMENTS 64

/* The settings, from the options of serve; what is not one of them stays in `own`. */
struct asking {
    struct master_config *config;
    const char *own[MOST_ARGUMENTS + 1];
    size_t own_count;
};

static void asking_done(struct asking *asking)
{
    master_config_free(&asking->config);
}

/* `with_value`: names of options of this command that take one, separated by blanks; they and those without
 * stay in `own`. */
static bool is_own_option(const char *argument, const char *with_value, const char *alone,
                          bool *ret_has_value)
{
    char padded[64], name[48];
    size_t length = strcspn(argument, "=");
    snprintf(name, sizeof name, " %.*s ", (int)(length < 40 ? length : 40), argument);
    snprintf(padded, sizeof padded, " %s ", with_value);
    *ret_has_value = strstr(padded, name) != NULL && argument[length] != '=';
    if (strstr(padded, name) != NULL)
        return true;
    snprintf(padded, sizeof padded, " %s ", alone);
    return strstr(padded, name) != NULL;
}

static enum rc split(char *const *argument, const char *with_value, const char *alone, struct asking *asking,
                     struct err *err)
{
    char *options[MOST_ARGUMENTS + 1] = {NULL};
    size_t count = 0;
    for (; *argument != NULL; argument++) {
        bool has_value = false;
        if (count + 2 > MOST_ARGUMENTS || asking->own_count + 2 > MOST_ARGUMENTS)
            return err_set(err, RC_BAD_REQUEST, "there are too many arguments");
        if ((*argument)[0] != '-' || strcmp(*argument, "-") == 0) {
            asking->own[asking->own_count++] = *argument;
        } else if (is_own_option(*argument, with_value, alone, &has_value)) {
            asking->own[asking->own_count++] = *argument;
            if (has_value && argument[1] != NULL)
                asking->own[asking->own_count++] = *++argument;
        } else {
            options[count++] = *argument;
            if (strchr(*argument, '=') == NULL && argument[1] != NULL)
                options[count++] = *++argument;
        }
    }
    enum rc rc = master_config_new(&asking->config, err);
    if (rc == RC_OK)
        rc = master_options_load(options, asking->config, err);
    return rc;
}

static const char *option_value(const struct asking *asking, size_t *at, const char *name)
{
    const char *argument = asking->own[*at];
    size_t length = strlen(name);
    if (strncmp(argument, name, length) != 0)
        return NULL;
    if (argument[length] == '=')
        return argument + length + 1;
    return argument[length] == '\0' && asking->own[*at + 1] != NULL ? asking->own[++*at] : NULL;
}

/* Asks, prints the answer; the exit status. */
static int ask_and_print(const struct asking *asking, const char *method, const char *target)
{
    OWN(bytes_done) struct bytes body = {0};
    unsigned status = 0;
    struct err err;
    if (master_ask(&asking->config->settings, method, target, &status, &body, &err) != RC_OK)
        return master_command_failed(&err);
    if (body.length > 0)
        fwrite(body.data, 1, body.length, status == 200 ? stdout : stderr);
    return status == 200 && fflush(stdout) == 0 ? 0 : MASTER_EXIT_FAILED;
}

/* ---- purge, prune, status ---- */

int master_ask_purge(char *const *argument)
{
    OWN(asking_done) struct asking asking = {0};
    OWN(bytes_done) struct bytes target = {0};
    struct err err;
    const char *text = NULL, *kind = "identifier";
    enum rc rc = split(argument, "--prefix", "--all", &asking, &err);
    for (size_t i = 0; rc == RC_OK && i < asking.own_count; i++) {
        const char *prefix = NULL;
        if (text != NULL)
            rc = err_set(&err, RC_BAD_REQUEST, "purge takes one identifier, --prefix TEXT or --all");
        else if (strcmp(asking.own[i], "--all") == 0)
            kind = "all", text = "";
        else if ((prefix = option_value(&asking, &i, "--prefix")) != NULL)
            kind = "prefix", text = prefix;
        else
            text = asking.own[i];
    }
    if (rc == RC_OK && text == NULL)
        rc = err_set(&err, RC_BAD_REQUEST, "purge takes an identifier, --prefix TEXT or --all");
    if (rc == RC_OK)
        rc = bytes_format(&target, &err, "/purge?%s=", kind);
    if (rc == RC_OK)
        rc = master_warm_append(&target, text, &err);
    if (rc != RC_OK)
        return master_command_refused(PROGRAM, &err);
    return ask_and_print(&asking, "POST", (const char *)target.data);
}

int master_ask_prune(char *const *argument)
{
    OWN(asking_done) struct asking asking = {0};
    struct err err;
    char target[96];
    const char *days = NULL;
    char *end = NULL;
    enum rc rc = split(argument, "--unused", "", &asking, &err);
    for (size_t i = 0; rc == RC_OK && i < asking.own_count; i++)
        if ((days = option_value(&asking, &i, "--unused")) == NULL)
            rc = err_set(&err, RC_BAD_REQUEST, "prune takes --unused DAYS and nothing else");
    double unused = days != NULL ? strtod(days, &end) : UNUSED_DAYS;
    if (rc == RC_OK && days != NULL && (*days == '\0' || *end != '\0' || !(unused >= 0 && unused < 100000)))
        rc = err_set(&err, RC_BAD_REQUEST, "--unused is \"%s\", but must be a number of days", days);
    if (rc != RC_OK)
        return master_command_refused(PROGRAM, &err);
    snprintf(target, sizeof target, "/prune?unused=%.0f", unused * 86400);
    return ask_and_print(&asking, "POST", target);
}

int master_ask_status(char *const *argument)
{
    OWN(asking_done) struct asking asking = {0};
    struct err err;
    enum rc rc = split(argument, "", "", &asking, &err);
    if (rc == RC_OK && asking.own_count > 0)
        rc = err_set(&err, RC_BAD_REQUEST, "status takes options of serve and nothing else");
    if (rc != RC_OK)
        return master_command_refused(PROGRAM, &err);
    return ask_and_print(&asking, "GET", "/status");
}

/* ---- warm ---- */

struct warming {
    const struct settings *settings;
    const char *sizes; /* "200,400": with them lines are identifiers; NULL: they are requests */
    uint64_t done, wrong;
    struct timespec shown;
};

/* On a terminal what is said takes the place of the line before. */
static const char *fresh_line(void)
{
    return isatty(STDERR_FILENO) ? "\r\033[K" : "";
}

static void show(struct warming *warming, bool at_end)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t ms = (now.tv_sec - warming->shown.tv_sec) * 1000 +
                 (now.tv_nsec - warming->shown.tv_nsec) / 1000000;
    if (!at_end && ms < PROGRESS_MS)
        return;
    warming->shown = now;
    fprintf(stderr, "%s%" PRIu64 " image%s warmed up, %" PRIu64 " failed%s", fresh_line(), warming->done,
            warming->done == 1 ? "" : "s", warming->wrong, at_end || !isatty(STDERR_FILENO) ? "\n" : "");
}

/* One image. RC_IO: the server is gone. */
static enum rc warm(void *context, const char *target, struct err *err)
{
    struct warming *warming = context;
    OWN(bytes_done) struct bytes body = {0};
    unsigned status = 0;
    enum rc rc = master_warm_one(warming->settings, target, &status, &body, err);
    if (rc != RC_OK)
        return rc;
    if (status == 401 || status == 403)
        return err_set(err, RC_FORBIDDEN, "the server refuses: %.*s",
                       (int)(body.length > 0 ? body.length - 1 : 0), (const char *)body.data);
    warming->done += status == 200;
    warming->wrong += status != 200;
    if (status != 200)
        fprintf(stderr, "%s%s: %u\n", fresh_line(), target, status);
    show(warming, false);
    return RC_OK;
}

/* "http://host/iiif/..." or "/iiif/...". */
static const char *request_in(const char *line)
{
    const char *scheme = strstr(line, "://");
    return scheme != NULL ? strchr(scheme + 3, '/') : line[0] == '/' ? line : NULL;
}

static enum rc warm_line(struct warming *warming, char *line, struct err *err)
{
    line[strcspn(line, "\r\n")] = '\0';
    if (line[0] == '\0' || line[0] == '#')
        return RC_OK;
    if (warming->sizes != NULL)
        return master_warm_sizes(line, warming->sizes, warm, warming, err);
    const char *target = request_in(line);
    if (target != NULL && strpbrk(target, " \t") == NULL)
        return warm(warming, target, err);
    warming->wrong++;
    fprintf(stderr, "%s%s: is no request; with --sizes lines are identifiers\n", fresh_line(), line);
    return RC_OK;
}

static void close_list(FILE **list)
{
    if (*list != NULL && *list != stdin)
        fclose(*list);
}

int master_ask_warm(char *const *argument)
{
    OWN(asking_done) struct asking asking = {0};
    struct warming warming = {0};
    struct err err;
    const char *path = NULL, *sizes = NULL;
    enum rc rc = split(argument, "--sizes", "", &asking, &err);
    for (size_t i = 0; rc == RC_OK && i < asking.own_count; i++)
        if ((sizes = option_value(&asking, &i, "--sizes")) != NULL)
            warming.sizes = sizes;
        else if (path == NULL)
            path = asking.own[i];
        else
            rc = err_set(&err, RC_BAD_REQUEST, "warm takes one FILE");
    if (rc == RC_OK && path == NULL)
        rc = err_set(&err, RC_BAD_REQUEST,
                     "warm takes a FILE with a request on each line; \"-\" is standard input");
    if (rc == RC_OK && warming.sizes != NULL && !master_warm_are_sizes(warming.sizes))
        rc = err_set(&err, RC_BAD_REQUEST, "--sizes is \"%s\", but must be widths, such as 200,400",
                     warming.sizes);
    if (rc != RC_OK)
        return master_command_refused(PROGRAM, &err);
    warming.settings = &asking.config->settings;
    OWN(close_list) FILE *list = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (list == NULL) {
        err_set_errno(&err, RC_IO, errno, "%s cannot be read", path);
        return master_command_failed(&err);
    }
    char line[LINE_BYTES];
    while (rc == RC_OK && fgets(line, sizeof line, list) != NULL)
        rc = warm_line(&warming, line, &err);
    show(&warming, true);
    if (rc != RC_OK)
        return master_command_failed(&err);
    return warming.wrong == 0 ? 0 : MASTER_EXIT_FAILED;
}
