/* What the program says about itself, all of it made from the tables of settings, commands and options.
 * Written to standard output. */
#ifndef MASTER_MANUAL_H
#define MASTER_MANUAL_H

#include "base/settings.h"

#include <stdbool.h>

#define VITRINE_VERSION "0.1.0"

void master_manual_help(void);
void master_manual_ingest(void);        /* the options of ingest */
void master_manual_manifest(void);      /* the options of manifest */
void master_manual_sample_config(void); /* libconfig; every key, commented out */

/* In roff: "vitrine", "vitrine-ingest" and "vitrine-manifest" of section 1, "vitrine.conf" of section 5.
 * False: there is no such page. */
bool master_manual_page(const char *name);

/* Whether `vitrine NAME` is a command of the help's list. */
bool master_manual_has_command(const char *name);

/* For the pages (master/manual_pages.c). */
struct master_manual_command {
    const char *usage, *help;
};
extern const struct master_manual_command master_manual_commands[];
extern const size_t master_manual_command_count;

const char *master_manual_default(const struct settings_row *row);
/* "from 1 to 100 px", "one of a, b, c", "true or false" or "". */
void master_manual_print_range(const struct settings_row *row);

#endif
