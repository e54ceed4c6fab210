/* The command line of `serve`, and the configuration it leads to: read at start and again at each reload, by
 * the same steps. */
#ifndef MASTER_OPTIONS_H
#define MASTER_OPTIONS_H

#include "master/config_file.h"

/* Takes in --flag VALUE, --flag=VALUE, --set KEY=VALUE and -c FILE up to the NULL that ends `argument`; the
 * file is read where one is named, and what the command line says goes before what the file says. Then
 * everything is checked together: problems are in `config`, which must be fresh and keeps pointers into
 * `argument`. RC_BAD_REQUEST: a slip on the command line itself; other failures are the system's. */
RC_MUST_USE enum rc master_options_load(char *const *argument, struct master_config *config, struct err *err);

/* Takes one option that any command has: -c FILE, --set KEY=VALUE, or the flag of a setting that belongs to
 * `command`; *word moves to its last word. RC_BAD_REQUEST. */
RC_MUST_USE enum rc master_options_take(char *const **word, const char *command, struct master_config *config,
                                        const char **ret_path, struct err *err);

/* How many workers the settings ask for: one per CPU where they leave it open. */
uint32_t master_options_workers(const struct settings *settings);
/* Lowers max_connections to what the limit on open files allows; raises that limit as far as it may be. True
 * when it was lowered. */
bool master_options_fit(struct settings *settings);

#endif
