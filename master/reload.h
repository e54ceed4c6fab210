/* Reading the configuration again while the server runs. */
#ifndef MASTER_RELOAD_H
#define MASTER_RELOAD_H

#include "master/config_file.h"

/* Reads and checks the configuration by the same command line. What cannot change while the server runs
 * keeps its value of `current`, with a warning in the log. The caller frees *ret_config by
 * master_config_free(). When anything is wrong, the log says everything that is, and the result is not
 * RC_OK. */
RC_MUST_USE enum rc master_reload_read(char *const *argument, const struct settings *current,
                                       struct master_config **ret_config);

#endif
