/* Who we are to an S3 store: found in this order: the settings, the environment (AWS_ACCESS_KEY_ID …), the shared credentials file
 * (AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials, profile AWS_PROFILE), the instance metadata service of EC2
 * (version 2). The first three are read once, before the box; the metadata service is asked by a thread, again five
 * minutes before what it said expires. Any thread takes copies. */
#ifndef CACHE_S3_CREDENTIALS_H
#define CACHE_S3_CREDENTIALS_H

#include "base/settings.h"
#include "cache/s3_sign.h"

struct s3_keys;

/* RC_BAD_REQUEST when there is half of a pair, or a named profile is not in the file. */
RC_MUST_USE enum rc s3_keys_open(const struct settings *settings, struct s3_keys **ret_keys, struct err *err);
/* Starts the thread, if the metadata service is to be asked. After the box. */
RC_MUST_USE enum rc s3_keys_start(struct s3_keys *keys, struct err *err);
void s3_keys_close(struct s3_keys **keys);
/* The port of the metadata service; 0: it is not asked. */
uint16_t s3_keys_port(const struct s3_keys *keys);

/* RC_BUSY while there are none yet (the metadata service is being asked). An empty access key: requests are not signed. */
RC_MUST_USE enum rc s3_keys_copy(struct s3_keys *keys, struct s3_credentials *ret_credentials,
                                 struct err *err);
/* The store says that they have expired: asks for new ones. */
void s3_keys_refresh(struct s3_keys *keys);

/* The profile's pair (and token) out of a credentials file. False when it has no such profile, or no pair in it. */
bool s3_credentials_from_file(const char *text, const char *profile, struct s3_credentials *ret_credentials);
/* Out of the metadata service's JSON. */
bool s3_credentials_from_json(const char *text, size_t length, struct s3_credentials *ret_credentials);

#endif
