/* The Accept header (RFC 9110 §12.5.1): which of two media types a client would rather have. Pure; any
 * thread. Called by info_json.c with bytes from the network; never fails, what is malformed is passed
 * over. */
#ifndef WORKER_IIIF_MEDIA_RANGE_H
#define WORKER_IIIF_MEDIA_RANGE_H

/* > 0 when `a` is preferred, < 0 when `b` is, 0 when the client does not care or accepts neither. The larger
 * q-value wins; between equal ones the type that is named rather than covered by a wildcard. Types are lower
 * case "type/subtype"; parameters other than q are ignored. */
int iiif_media_range_compare(const char *accept, const char *a, const char *b);

#endif
