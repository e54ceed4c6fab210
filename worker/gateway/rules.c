#include "worker/gateway/rules.h"

#include "base/own.h"
#include "worker/iiif/percent.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define MAX_LINE_BYTES  4096u
#define MAX_RULES       10000u
#define MAX_MATCH_STEPS 100000u /* a match of an identifier takes tens; far below a millisecond */
#define GROUPS          10u

enum rule_kind { RULE_PREFIX, RULE_SUFFIX, RULE_REGEX };

struct rule {
    enum rule_kind kind;
    uint64_t line;
    char *text;    /* as it was written */
    char *pattern; /* decoded; of an expression: its source */
    char *source;  /* decoded, with its dollars */
    pcre2_code *code;
};

struct gateway_rules {
    struct rule *rule;
    uint32_t count;
    pcre2_match_context *limits;
};

/* A piece of the identifier that a dollar stands for. */
struct group {
    const char *data;
    size_t length;
};

static void rule_done(struct rule *rule)
{
    free(rule->text);
    free(rule->pattern);
    free(rule->source);
    pcre2_code_free(rule->code);
}

void gateway_rules_free(struct gateway_rules **rules)
{
    if (*rules == NULL)
        return;
    for (uint32_t i = 0; i < (*rules)->count; i++)
        rule_done(&(*rules)->rule[i]);
    free((*rules)->rule);
    pcre2_match_context_free((*rules)->limits);
    free(TAKE_PTR(*rules));
}

/* ---- reading ---- */

/* A word of the file, decoded, on the heap. */
static enum rc read_word(const char *name, const char *word, char **ret_text, struct err *err)
{
    size_t length = strlen(word), decoded = 0;
    OWN_FREE char *text = malloc(length + 1);
    if (text == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for an identifier rule");
    enum rc rc = iiif_percent_decode(name, word, length, text, length, &decoded, RC_BAD_REQUEST, err);
    if (rc != RC_OK)
        return rc;
    text[decoded] = '\0';
    *ret_text = TAKE_PTR(text);
    return RC_OK;
}

static enum rc compile(struct rule *rule, struct err *err)
{
    int fault = 0;
    size_t at = 0;
    rule->code = pcre2_compile((PCRE2_SPTR)rule->pattern, PCRE2_ZERO_TERMINATED,
                               PCRE2_UTF | PCRE2_MATCH_INVALID_UTF, &fault, &at, NULL);
    if (rule->code != NULL)
        return RC_OK;
    char why[120];
    pcre2_get_error_message(fault, (PCRE2_UCHAR *)why, sizeof why);
    return err_set(err, RC_BAD_REQUEST, "the expression '%.80s' is wrong at character %zu: %s", rule->pattern,
                   at + 1, why);
}

/* Dollars of the source have to stand for something the rule has. */
static enum rc check_source(const struct rule *rule, struct err *err)
{
    uint32_t groups = 1;
    if (rule->kind == RULE_REGEX)
        pcre2_pattern_info(rule->code, PCRE2_INFO_CAPTURECOUNT, &groups);
    for (const char *dollar = strchr(rule->source, '$'); dollar != NULL; dollar = strchr(dollar + 2, '$')) {
        if (dollar[1] == '$')
            continue;
        if (dollar[1] < '0' || dollar[1] > '9')
            return err_set(err, RC_BAD_REQUEST, "in the source '%.80s' a digit or $ has to follow each $",
                           rule->source);
        if ((uint32_t)(dollar[1] - '0') > groups)
            return err_set(err, RC_BAD_REQUEST,
                           "the source '%.80s' uses $%c, but the pattern has %" PRIu32 " group%s",
                           rule->source, dollar[1], groups, groups == 1 ? "" : "s");
    }
    return RC_OK;
}

static enum rc read_kind(const char *word, enum rule_kind *ret_kind, struct err *err)
{
    static const char *const name[] = {
        [RULE_PREFIX] = "prefix", [RULE_SUFFIX] = "suffix", [RULE_REGEX] = "regex"};
    for (unsigned kind = 0; kind < sizeof name / sizeof name[0]; kind++)
        if (strcmp(word, name[kind]) == 0) {
            *ret_kind = (enum rule_kind)kind;
            return RC_OK;
        }
    return err_set(err, RC_BAD_REQUEST, "a rule begins with prefix, suffix or regex, not with '%.40s'", word);
}

/* `line` has no line end and is cut into its words. */
static enum rc read_rule(char *line, struct rule *rule, struct err *err)
{
    rule->text = strdup(line);
    if (rule->text == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for an identifier rule");
    char *rest = NULL;
    const char *word[4] = {strtok_r(line, " \t", &rest)};
    for (int i = 1; i < 4 && word[i - 1] != NULL; i++)
        word[i] = strtok_r(NULL, " \t", &rest);
    enum rc rc = read_kind(word[0], &rule->kind, err);
    if (rc == RC_OK && (word[1] == NULL || word[2] == NULL || word[3] != NULL))
        rc = err_set(err, RC_BAD_REQUEST,
                     "a rule has three words: its kind, a pattern, a source (a blank is written %%20)");
    if (rc == RC_OK)
        rc = read_word("the pattern", word[1], &rule->pattern, err);
    if (rc == RC_OK)
        rc = read_word("the source", word[2], &rule->source, err);
    if (rc == RC_OK && rule->kind == RULE_REGEX)
        rc = compile(rule, err);
    return rc == RC_OK ? check_source(rule, err) : rc;
}

static enum rc add_rule(struct gateway_rules *rules, const struct rule *rule, struct err *err)
{
    if ((rules->count & (rules->count - 1)) == 0) { /* a power of two: full, or empty */
        void *grown = rules->count >= MAX_RULES
                          ? NULL
                          : realloc(rules->rule,
                                    (rules->count == 0 ? 1 : 2 * (size_t)rules->count) * sizeof *rule);
        if (grown == NULL)
            return err_set(err, RC_NO_MEMORY, "no room for more than %" PRIu32 " identifier rules",
                           rules->count);
        rules->rule = grown;
    }
    rules->rule[rules->count++] = *rule;
    return RC_OK;
}

/* Trims the line end and blanks in front; NULL where the line says nothing. */
static char *trimmed(char *line)
{
    line[strcspn(line, "\r\n")] = '\0';
    line += strspn(line, " \t");
    return *line == '\0' || *line == '#' ? NULL : line;
}

static enum rc read_rules(FILE *file, struct gateway_rules *rules, gateway_problem *problem, void *context,
                          struct err *err)
{
    char buffer[MAX_LINE_BYTES];
    struct err first = {0};
    for (uint64_t number = 1; fgets(buffer, sizeof buffer, file) != NULL; number++) {
        if (strchr(buffer, '\n') == NULL && !feof(file))
            return err_set(err, RC_CORRUPT,
                           "line %" PRIu64 ": longer than %u bytes, or with a byte of value zero", number,
                           MAX_LINE_BYTES - 2);
        char *line = trimmed(buffer);
        if (line == NULL)
            continue;
        struct rule rule = {.line = number};
        struct err wrong;
        enum rc rc = read_rule(line, &rule, &wrong);
        if (rc == RC_OK)
            rc = add_rule(rules, &rule, &wrong);
        if (rc == RC_OK)
            continue;
        rule_done(&rule);
        if (rc != RC_BAD_REQUEST) {
            *err = wrong;
            return rc;
        }
        if (first.rc == RC_OK)
            err_set(&first, RC_CORRUPT, "line %" PRIu64 ": %s", number, wrong.message);
        if (problem != NULL)
            problem(number, wrong.message, context);
    }
    if (first.rc != RC_OK)
        *err = first;
    return first.rc;
}

static void file_close(FILE **file)
{
    if (*file != NULL)
        fclose(*file);
}

enum rc gateway_rules_load(const char *path, gateway_problem *problem, void *context,
                           struct gateway_rules **ret_rules, struct err *err)
{
    OWN(file_close) FILE *file = fopen(path, "re");
    if (file == NULL)
        return err_set_errno(err, RC_IO, errno, "the identifier rules %s", path);
    OWN(gateway_rules_free) struct gateway_rules *rules = calloc(1, sizeof *rules);
    if (rules != NULL)
        rules->limits = pcre2_match_context_create(NULL);
    if (rules == NULL || rules->limits == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for the identifier rules");
    pcre2_set_match_limit(rules->limits, MAX_MATCH_STEPS);
    enum rc rc = read_rules(file, rules, problem, context, err);
    if (rc == RC_OK && ferror(file))
        rc = err_set(err, RC_IO, "the identifier rules %s cannot be read", path);
    if (rc == RC_OK)
        *ret_rules = TAKE_PTR(rules);
    return rc;
}

/* ---- applying ---- */

static bool match_fixed(const struct rule *rule, struct group identifier, struct group group[GROUPS])
{
    size_t length = strlen(rule->pattern);
    if (length > identifier.length)
        return false;
    size_t rest = identifier.length - length;
    bool is_prefix = rule->kind == RULE_PREFIX;
    if (memcmp(is_prefix ? identifier.data : identifier.data + rest, rule->pattern, length) != 0)
        return false;
    group[0] = identifier;
    group[1] = (struct group){is_prefix ? identifier.data + length : identifier.data, rest};
    return true;
}

static enum rc match_regex(const struct gateway_rules *rules, const struct rule *rule,
                           struct group identifier, struct group group[GROUPS], bool *ret_matches,
                           struct err *err)
{
    pcre2_match_data *data = pcre2_match_data_create(GROUPS, NULL);
    if (data == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory to match an identifier");
    int pairs = pcre2_match(rule->code, (PCRE2_SPTR)identifier.data, identifier.length, 0, 0, data,
                            rules->limits);
    const size_t *at = pcre2_get_ovector_pointer(data);
    /* 0: matched, with more groups than ten. \K can place the start behind the end: such a group is empty. */
    for (int i = 0; i < (pairs == 0 ? (int)GROUPS : pairs); i++)
        if (at[2 * i] != PCRE2_UNSET && at[2 * i] <= at[2 * i + 1])
            group[i] = (struct group){identifier.data + at[2 * i], at[2 * i + 1] - at[2 * i]};
    pcre2_match_data_free(data);
    *ret_matches = pairs >= 0;
    if (pairs < 0 && pairs != PCRE2_ERROR_NOMATCH)
        return err_set(err, RC_NOT_FOUND, "the identifier cannot be matched by the rule of line %" PRIu64,
                       rule->line);
    group[0] = identifier;
    return RC_OK;
}

static enum rc write_source(const struct rule *rule, const struct group group[GROUPS],
                            struct gateway_match *match, struct err *err)
{
    size_t length = 0;
    for (const char *at = rule->source; *at != '\0'; at++) {
        struct group piece = {at, 1};
        if (*at == '$' && *++at != '$')
            piece = group[*at - '0'];
        if (piece.length > IIIF_MAX_IDENTIFIER_BYTES - length)
            return err_set(err, RC_NOT_FOUND,
                           "the identifier leads to a source whose name is too long (line %" PRIu64
                           " of the identifier rules)",
                           rule->line);
        if (piece.length > 0)
            memcpy(match->source + length, piece.data, piece.length);
        length += piece.length;
    }
    match->source[length] = '\0';
    return RC_OK;
}

enum rc gateway_rules_apply(const struct gateway_rules *rules, const char *identifier,
                            struct gateway_match *ret_match, struct err *err)
{
    struct group whole = {identifier, strnlen(identifier, IIIF_MAX_IDENTIFIER_BYTES)};
    ret_match->line = 0;
    ret_match->rule = NULL;
    for (uint32_t i = 0; rules != NULL && i < rules->count; i++) {
        const struct rule *rule = &rules->rule[i];
        struct group group[GROUPS] = {{NULL, 0}};
        bool matches = false;
        enum rc rc = RC_OK;
        if (rule->kind == RULE_REGEX)
            rc = match_regex(rules, rule, whole, group, &matches, err);
        else
            matches = match_fixed(rule, whole, group);
        if (rc != RC_OK)
            return rc;
        if (!matches)
            continue;
        ret_match->line = rule->line;
        ret_match->rule = rule->text;
        return write_source(rule, group, ret_match, err);
    }
    memcpy(ret_match->source, identifier, whole.length);
    ret_match->source[whole.length] = '\0';
    return RC_OK;
}
