/* Where the logs go: opened by the master, which may write where workers may not, and inherited by them.
 *
 * The error log of all processes is standard error. Where `error_log` names a file, that file is put in its
 * place; where it says syslog, base/log.h is given a socket. The access log has a descriptor of its own
 * (WORKER_FD_ACCESS in workers), unless it goes to standard error. On USR1 files are opened anew and workers
 * get the new ones as messages; whoever has not heard yet writes to the old file, so no line is lost.
 *
 * A named pipe is opened whether anybody reads it or not. The master never waits here. */
#ifndef MASTER_LOGS_H
#define MASTER_LOGS_H

#include "base/err.h"
#include "base/settings.h"

struct master_logs {
    int access; /* -1: none of its own */
    int syslog; /* of the error log; -1: none */
};

/* RC_IO says which file cannot be opened. */
RC_MUST_USE enum rc master_logs_open(const struct settings *settings, struct master_logs *ret_logs,
                                     struct err *err);
/* Opens files anew. What cannot be opened stays as it was, and the log says so. */
void master_logs_reopen(const struct settings *settings, struct master_logs *logs);
/* The error log is standard error again; the file that took its place stays there. */
void master_logs_close(struct master_logs *logs);
/* Whether the logs are files, so that reopening them makes a difference. */
bool master_logs_has_access_file(const struct settings *settings);
bool master_logs_has_error_file(const struct settings *settings);

#endif
