/* The configuration: settings, where they came from, and everything that is wrong with them.
 *
 * Problems are collected, one line each, so that a person sees all of them at once; "FILE:LINE: " precedes
 * those whose place is known. Used before the first fork; <libconfig.h> is at home here and in config_rules.
 * */
#ifndef MASTER_CONFIG_FILE_H
#define MASTER_CONFIG_FILE_H

#include "base/bytes.h"
#include "base/settings.h"
#include "worker/ingest/mapping.h"

struct master_config {
    struct settings settings;
    const char *path;          /* the file; NULL: none was read */
    unsigned *line;            /* for each row of the table where the file sets it; 0: not there */
    bool *is_fixed;            /* for each row whether the command line sets it */
    bool *has_begun;           /* for each row, if a list, whether the next value is a further one */
    struct ingest_rules rules; /* ingest_rules of the file */
    struct bytes problems;
    unsigned problem_count;
    bool is_unreadable; /* the file gave no setting at all: what the others say together means nothing */
};

/* Every default. */
RC_MUST_USE enum rc master_config_init(struct master_config *config, struct err *err);
void master_config_done(struct master_config *config);
/* The same on the heap. */
RC_MUST_USE enum rc master_config_new(struct master_config **ret_config, struct err *err);
void master_config_free(struct master_config **config); /* fits OWN() */

/* Reads the file over what is there; what is wrong becomes a problem, the rest is taken. `path` must outlive
 * `config`. Fails only where memory is out. */
RC_MUST_USE enum rc master_config_read(struct master_config *config, const char *path, struct err *err);

/* One value from the command line, which overrides the file; lists get all that come between two readings of
 * a file. Codes of settings_set(). */
RC_MUST_USE enum rc master_config_override(struct master_config *config, const struct settings_row *row,
                                           const char *value, struct err *err);

/* What no single value can tell: whether the directories are there, whether the addresses differ. Adds
 * problems. Looks at the file system, changes nothing. */
RC_MUST_USE enum rc master_config_check(struct master_config *config, struct err *err);

/* For master/config_rules.c: one more problem; `line` 0: the place is not known. */
RC_MUST_USE enum rc master_config_problem(struct master_config *config, unsigned line, const char *sentence,
                                          struct err *err);

#endif
