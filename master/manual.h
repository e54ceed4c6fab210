/* What the program says about itself, all of it made from the table of settings. Written to standard
 * output. */
#ifndef MASTER_MANUAL_H
#define MASTER_MANUAL_H

#define VITRINE_VERSION "0.1.0"

void master_manual_help(void);
void master_manual_ingest(void);        /* the options of ingest */
void master_manual_sample_config(void); /* libconfig; every key, commented out */
void master_manual_man_page(void);      /* roff, section 1 */

#endif
