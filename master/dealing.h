/* Which worker gets which connection: the least busy one gets the next, and when one dies the others get its.
 *
 * Part of the crew; the supervisor's one thread. Nothing here waits: a worker whose channel is full is passed
 * over, and what nobody takes stays in the table of connections, where its order is kept. */
#ifndef MASTER_DEALING_H
#define MASTER_DEALING_H

#include <stdint.h>

struct master_crew;
struct master_child;

/* Gives every connection that waits to a worker, as far as workers take them. */
void master_dealing_hand_out(struct master_crew *crew);
/* What a dead worker leaves: connections that nobody serves. They wait from now on, and another worker goes
 * on with each where the journal says that it stands. */
void master_dealing_recover(struct master_crew *crew, uint32_t slot);
/* For the replacement of a worker that died, which takes a few ms as a rule: connections wait so long for it.
 * Without this the others would get all of them, keep-alive ones for good, and the new one none. */
void master_dealing_hold(struct master_crew *crew);
/* Hands out unless connections are held. Returns when to call again, 0: not before the next event. */
int64_t master_dealing_due(struct master_crew *crew, int64_t now_ms);

#endif
