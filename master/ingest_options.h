/* The command line of `ingest`: what is to be converted, where to, and how. The settings that say how are
 * those of base/settings_table.c whose names begin with ingest_; the rest, which only makes sense for one
 * run, is a table here, from which help and man page come too. */
#ifndef MASTER_INGEST_OPTIONS_H
#define MASTER_INGEST_OPTIONS_H

#include "master/command.h"
#include "master/config_file.h"

extern const struct master_flag master_ingest_flags[];
extern const size_t master_ingest_flag_count;

struct master_ingest_options {
    struct master_config config;
    const char **source; /* ends with NULL; as they stand on the command line */
    const char *into, *list, *base, *report, *thumbnails;
    bool is_forced, is_dry_run, is_help, manifests;
    uint32_t shard, shard_count; /* from 0 */
};

/* Reads `argument`, which ends with NULL and outlives the options, and the configuration it names. Problems
 * of the configuration are in `config`. RC_BAD_REQUEST: a slip on the command line. In every case to be
 * ended with master_ingest_options_done(). */
RC_MUST_USE enum rc master_ingest_options_load(char *const *argument,
                                               struct master_ingest_options *ret_options, struct err *err);
void master_ingest_options_done(struct master_ingest_options *options);

#endif
