/* What is wrong with one line of a list that an operator wrote: its number from 1, and a sentence. Called
 * once for each. */
#ifndef WORKER_GATEWAY_PROBLEM_H
#define WORKER_GATEWAY_PROBLEM_H

#include <stdint.h>

typedef void gateway_problem(uint64_t line, const char *sentence, void *context);

#endif
