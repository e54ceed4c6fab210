/* The columns of a catalogue: which is what (the setting catalogue_columns), and from the fields of a row
 * to a sidecar. For catalogue_load.c and whoever checks the setting. Pure but for memory; one thread at a
 * time. */
#ifndef WORKER_MANIFEST_CATALOGUE_COLUMNS_H
#define WORKER_MANIFEST_CATALOGUE_COLUMNS_H

#include "base/bytes.h"

#include <jansson.h>

struct catalogue_columns;

/* "COLUMN = NAME; ..." of worker/manifest/catalogue.h; "": each column of the first line stands for itself.
 * RC_BAD_REQUEST. */
RC_MUST_USE enum rc catalogue_columns_read(const char *written, struct catalogue_columns **ret_columns,
                                           struct err *err);
void catalogue_columns_free(struct catalogue_columns **columns);

/* The fields of the first line. RC_CORRUPT: one that is wanted is missing, or there twice. */
RC_MUST_USE enum rc catalogue_columns_begin(struct catalogue_columns *columns, char *const *field,
                                            size_t count, struct err *err);
/* The fields of a further line. *ret_identifier lies in one of them. RC_BAD_REQUEST: something in it is
 * wrong. RC_NO_MEMORY. */
RC_MUST_USE enum rc catalogue_columns_row(const struct catalogue_columns *columns, char *const *field,
                                          size_t count, const char **ret_identifier, json_t **ret_sidecar,
                                          struct err *err);

#endif
