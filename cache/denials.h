/* Denials: which of several image roots has said that it has no file at a path, and how long that counts.
 *
 * For cache/origin_several.c, which asks one far root after the other: a denial lets the next one's turn come. Bounded: a set of four for
 * each hash, of which the denial that ends first makes room. What is forgotten is asked again. One mutex, never held during I/O; any
 * thread. Private to a process; a crash loses nothing that cannot be asked again. */
#ifndef CACHE_DENIALS_H
#define CACHE_DENIALS_H

#include <stdbool.h>
#include <stdint.h>

struct denials;

/* Each counts for `lasts_ms`. NULL: no memory. */
struct denials *denials_new(int64_t lasts_ms);
void denials_free(struct denials **denials);

/* `path` is as the file is called in that root. */
bool denials_holds(struct denials *denials, uint32_t root, const char *path);
/* The root has said so just now. Where memory is out it is asked again. */
void denials_note(struct denials *denials, uint32_t root, const char *path);
/* Lets what the root said at most `most_ms` ago count for another `lasts_ms`, whether it still did or not. False: it has not said so. */
bool denials_renew(struct denials *denials, uint32_t root, const char *path, int64_t most_ms);

/* As denials_renew(), while a later root fetches. True: what the root said is older than `lasts_ms`, and it has to be asked again behind that;
 * said once, until its answer is noted, renewed or dropped. */
bool denials_prolong(struct denials *denials, uint32_t root, const char *path, int64_t most_ms);
/* It may have the file now. */
void denials_drop(struct denials *denials, uint32_t root, const char *path);

#endif
