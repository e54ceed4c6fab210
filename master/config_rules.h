/* The rules of the configuration file, and values as libconfig has them.
 *
 *     ingest_rules = ( { match = "maps*"; quality = 95; compression = "zstd"; },
 *                      { match = "*.jpg";  destination = "{path}.jpg.tif"; } );
 *
 * A part of reading the configuration (config_file.h); <libconfig.h> is at home in both. */
#ifndef MASTER_CONFIG_RULES_H
#define MASTER_CONFIG_RULES_H

#include "master/config_file.h"

#include <libconfig.h>

#define MASTER_CONFIG_RULES_KEY    "ingest_rules"
#define MASTER_CONFIG_NUMBER_BYTES 32

/* The value of one key as settings_set() takes it, or NULL and a sentence where the file has another type
 * than the row wants. Byte counts may be texts, since libconfig knows no 512M. Lives as long as both
 * arguments. */
const char *master_config_value(const config_setting_t *setting, const struct settings_row *row,
                                const char *name, char number[MASTER_CONFIG_NUMBER_BYTES], struct err *wrong);

/* Takes the list of rules; what is wrong becomes problems with their lines. Fails only where memory is out.
 * */
RC_MUST_USE enum rc master_config_rules_take(struct master_config *config, const config_setting_t *list,
                                             struct err *err);

#endif
