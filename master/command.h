/* What all commands of the program have in common: flags of their own, from a table that help and manual page
 * are made of too, and how a command ends that cannot go on. One thread. */
#ifndef MASTER_COMMAND_H
#define MASTER_COMMAND_H

#include "base/err.h"

#include <stddef.h>

#define MASTER_EXIT_FAILED 1
#define MASTER_EXIT_USAGE  2

struct master_flag {
    const char *flag, *value, *help; /* value NULL: a switch */
};

/* Which flag of the table the word is, with its value (NULL: of a switch); moves to the last word of it.
 * *ret_number is `count` where it is none. RC_BAD_REQUEST: a value is missing, or too much. */
RC_MUST_USE enum rc master_command_flag(const struct master_flag *table, size_t count, char *const **word,
                                        size_t *ret_number, const char **ret_value, struct err *err);

/* Each says why on standard error and returns the exit status. `command` is what is to be asked for --help:
 * "vitrine ingest". */
int master_command_usage(const char *command, const struct err *err);
int master_command_failed(const struct err *err);
/* One of the two: a command line is refused with RC_BAD_REQUEST. */
int master_command_refused(const char *command, const struct err *err);

#endif
