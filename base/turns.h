/* Turns: how a thread shares its processor with others.
 *
 * A thread that answers many clients in moments must not wait for another's whole turn (some 3 ms) whenever both want the same
 * processor. Asking for short turns lets it break in on those with longer ones, and costs it nothing as long as it is done soon: its
 * share stays the same. Kernels before 6.12 take no notice. For the calling thread, and the threads it makes from then on. */
#ifndef BASE_TURNS_H
#define BASE_TURNS_H

void turns_ask_short(void);

/* The opposite: gives way to the process's other threads where there is not enough for all, as work does that takes long anyway. */
void turns_give_way(void);

#endif
