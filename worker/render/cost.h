/* How long a plan will take, in milliseconds of one CPU: what the pool orders its jobs by.
 *
 * Counted from the plan alone (pixels to decode, to bring through resampling and colour, to encode), times
 * what each of these steps has cost per pixel lately on this machine (shm/effort.h, learned from every render
 * of all workers). Any thread; owns nothing. */
#ifndef WORKER_RENDER_COST_H
#define WORKER_RENDER_COST_H

#include "shm/effort.h"
#include "worker/render/render.h"

double render_cost_ms(const struct shm_effort *effort, const struct picture *picture,
                      const struct iiif_plan *plan, const struct render_options *options);
/* What a source costs to open, of which nothing is known yet. */
double render_cost_open_ms(const struct shm_effort *effort);

/* After a render of the plan, and after an opening. */
void render_cost_learn(struct shm_effort *effort, const struct picture *picture, const struct iiif_plan *plan,
                       const struct render_spent *spent);
void render_cost_learn_open(struct shm_effort *effort, int64_t ns);

#endif
