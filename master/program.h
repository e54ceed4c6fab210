/* The program file that this process was started from, and starting what lies there now: a new version,
 * usually. */
#ifndef MASTER_PROGRAM_H
#define MASTER_PROGRAM_H

#include "base/err.h"

#include <sys/types.h>

struct master_program {
    char *path;        /* absolute, links in it not followed: they may lead to another version by then */
    char *const *argv; /* the command line, to be used again */
};

/* At the start of main(), before the working directory could change. argv[0] is searched for as a shell
 * would; where that leads to another file than this process runs, /proc/self/exe is believed. */
RC_MUST_USE enum rc master_program_find(char *const *argv, struct master_program *ret_program,
                                        struct err *err);
void master_program_done(struct master_program *program);

/* Environment variable with the number of the descriptor that a new program inherits. */
#define MASTER_PROGRAM_CHANNEL "VITRINE_HANDOVER"

/* Starts the program with the same command line, directory and environment, in a process group of its own.
 * Of all descriptors it gets the standard ones and `channel`, by MASTER_PROGRAM_CHANNEL. That exec fails is
 * seen by the end of the channel, and the child says why in the log. */
RC_MUST_USE enum rc master_program_start(const struct master_program *program, int channel, pid_t *ret_pid,
                                         struct err *err);

#endif
