/* `vitrine manifest`: its command line. */
#ifndef MASTER_MANIFEST_H
#define MASTER_MANIFEST_H

#include "master/command.h"

/* Words up to the NULL; returns the exit status: 0, 1 where a document could not be written, 2 bad usage. */
int master_manifest(char *const *argument);

extern const struct master_flag master_manifest_flags[];
extern const size_t master_manifest_flag_count;

#endif
