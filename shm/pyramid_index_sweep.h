/* Collecting blobs of the pyramid index that no record speaks of any more: colour profiles, JPEG tables and
 * palettes of sources that were replaced or deleted. For shm/pyramid_index_writer.c and its batches only.
 *
 * When there are twice as many blobs as were left last time, the writer's thread goes through all records
 * and removes what none of them names: so there are never more than twice the blobs in use (or
 * SHM_INDEX_SWEEP_LEAST), and each record that is written costs a look at a few. All in one transaction: a
 * record that is written meanwhile waits, and dying in the middle changes nothing. Readers are not
 * disturbed. */
#ifndef SHM_PYRAMID_INDEX_SWEEP_H
#define SHM_PYRAMID_INDEX_SWEEP_H

#include "shm/pyramid_index_inside.h"

#define SHM_INDEX_SWEEP_LEAST 256u

/* Within a transaction. */
bool shm_index_sweep_is_due(const struct shm_index *index, MDB_txn *txn);
/* No transaction is open in this thread. */
void shm_index_sweep(struct shm_index *index);

#endif
