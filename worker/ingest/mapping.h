/* Which pyramid becomes of which master: the rules of the configuration, names made from names, and how it is
 * converted.
 *
 * A rule holds for all sources whose name fits its pattern; where several fit, the later ones go over the
 * earlier ones. What the command line sets goes over the rules, which go over what the file sets for all.
 * Sources with the same rules share one variant: settings made once, in memory for the whole batch.
 * Pure but for memory; filled while the configuration is read, by one thread. */
#ifndef WORKER_INGEST_MAPPING_H
#define WORKER_INGEST_MAPPING_H

#include "base/bytes.h"
#include "base/settings.h"

struct ingest_options;

struct ingest_rule {
    char *match; /* as fnmatch(3) reads it; * fits "/" too */
    size_t count;
    struct ingest_rule_value {
        const struct settings_row *row;
        char *text;
    } * value;
};

struct ingest_rules {
    struct ingest_rule *rule;
    size_t count;
};

/* The setting that `name` stands for in a rule ("quality": ingest_quality); NULL when there is none. */
const struct settings_row *ingest_mapping_row(const char *name);

/* One more rule, still empty, at the end. */
RC_MUST_USE enum rc ingest_rules_add(struct ingest_rules *rules, const char *match, struct err *err);
/* One more value of the last rule. RC_BAD_REQUEST: the row does not take it. */
RC_MUST_USE enum rc ingest_rules_set(struct ingest_rules *rules, const struct settings_row *row,
                                     const char *text, struct err *err);
void ingest_rules_done(struct ingest_rules *rules);

struct ingest_variant {
    struct settings settings;
    char *text; /* all that decides how pyramids look, in one line: two variants differ where this differs */
    uint8_t *fits; /* for each rule whether it holds */
    struct ingest_variant *next;
};

struct ingest_mapping {
    const struct settings *settings; /* what holds for all sources */
    const bool *is_fixed;            /* for each row of the table whether rules leave it alone */
    const struct ingest_rules *rules;
    struct ingest_variant *variant;
};

/* The variant for a source; it lives as long as the mapping. Fails only where memory is out. */
RC_MUST_USE enum rc ingest_mapping_find(struct ingest_mapping *mapping, const char *relative,
                                        const struct ingest_variant **ret_variant, struct err *err);
void ingest_mapping_done(struct ingest_mapping *mapping);

/* Appends the name of the pyramid below the destination, without a NUL. RC_BAD_REQUEST: it would be no file
 * name. */
RC_MUST_USE enum rc ingest_mapping_name(const struct ingest_variant *variant, const char *relative,
                                        struct bytes *out, struct err *err);

/* How the variant's masters are to be converted; threads and record are left to the caller. RC_BAD_REQUEST
 * never with settings that were checked. */
RC_MUST_USE enum rc ingest_mapping_options(const struct ingest_variant *variant,
                                           struct ingest_options *ret_options, struct err *err);

#endif
