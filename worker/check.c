#include "worker/check.h"

#include "base/roots.h"
#include "cache/origin.h"
#include "worker/gateway/gateway.h"
#include "worker/http/base_url.h"
#include "worker/manifest/catalogue_live.h"

enum rc worker_check_settings(const struct settings *settings, const char **ret_name, struct err *err)
{
    unsigned at = 0;
    const char *wrong = http_trusted_list_check(settings->trusted_proxies, &at);
    if (wrong != NULL) {
        *ret_name = "trusted_proxies";
        return err_set(err, RC_BAD_REQUEST, "trusted_proxies is \"%s\": from character %u on, %s",
                       settings->trusted_proxies, at + 1, wrong);
    }
    wrong = http_trusted_list_check(settings->http_networks, &at);
    if (wrong != NULL) {
        *ret_name = "http_networks";
        return err_set(err, RC_BAD_REQUEST, "http_networks is \"%s\": from character %u on, %s",
                       settings->http_networks, at + 1, wrong);
    }
    if (roots_any_is_remote(settings->images) && settings->cache[0] == '\0') {
        char images[256];
        *ret_name = "images";
        roots_text(settings->images, images, sizeof images);
        return err_set(err, RC_BAD_REQUEST,
                       "images is \"%s\", which needs a cache directory for what is fetched: add --cache DIR",
                       images);
    }
    if (settings->derivative_tier[0] != '\0' && (settings->cache[0] == '\0' || !settings->derivative_cache)) {
        *ret_name = "derivative_tier";
        return err_set(err, RC_BAD_REQUEST,
                       "derivative_tier is \"%s\", which is below a cache of derivatives: add --cache DIR, "
                       "and leave derivative_cache on",
                       settings->derivative_tier);
    }
    enum rc rc = origin_check_addresses(settings, ret_name, err);
    if (rc != RC_OK)
        return rc;
    const struct gateway_options options = {.rules = settings->identifier_rules,
                                            .retired = settings->retired,
                                            .folder = settings->cache[0] != '\0' ? settings->cache : NULL};
    const struct manifest_catalogue_options catalogue = {
        .file = settings->catalogue, .columns = settings->catalogue_columns, .folder = options.folder};
    rc = gateway_check(&options, ret_name, err);
    return rc == RC_OK ? manifest_catalogue_check(&catalogue, ret_name, err) : rc;
}

bool worker_check_lists(const struct settings *settings)
{
    const struct gateway_options options = {.rules = settings->identifier_rules,
                                            .retired = settings->retired};
    const struct manifest_catalogue_options catalogue = {.file = settings->catalogue,
                                                         .columns = settings->catalogue_columns};
    bool is_sound = gateway_check_lists(&options);
    return manifest_catalogue_check_lines(&catalogue) && is_sound;
}

bool worker_check_resolve(const struct settings *settings, const char *identifier, struct err *err)
{
    const struct gateway_options options = {.rules = settings->identifier_rules,
                                            .retired = settings->retired};
    return gateway_explain(&options, settings->images, identifier, err);
}
