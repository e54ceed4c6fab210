/* What settings mean to a worker, found out without one: for whoever checks a configuration before it is used, and for the commands that explain
 * it. In the process of the command, or of the master before it forks. */
#ifndef WORKER_CHECK_H
#define WORKER_CHECK_H

#include "base/settings.h"

#include <stdbool.h>

/* The rules that single values cannot tell and the master does not know, for the master before it forks and
 * for check-config. RC_BAD_REQUEST names the key; *ret_name is it. Pure. */
RC_MUST_USE enum rc worker_check_settings(const struct settings *settings, const char **ret_name,
                                          struct err *err);

/* For check-config: reads the lists that the settings name and prints each wrong line as FILE:LINE: to standard error. False: there
 * was one. */
bool worker_check_lists(const struct settings *settings);
/* For `vitrine resolve`: prints where an identifier leads, and by which rule. False: nowhere. */
bool worker_check_resolve(const struct settings *settings, const char *identifier, struct err *err);

#endif
