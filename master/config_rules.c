#include "master/config_rules.h"

#include <stdio.h>
#include <string.h>

static const char *type_name(const config_setting_t *setting)
{
    switch (config_setting_type(setting)) {
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        return "a whole number";
    case CONFIG_TYPE_FLOAT:
        return "a number with a fraction";
    case CONFIG_TYPE_STRING:
        return "a text";
    case CONFIG_TYPE_BOOL:
        return "true or false";
    default:
        return "a group or list";
    }
}

static const char *value_of(const config_setting_t *setting, const struct settings_row *row,
                            char number[MASTER_CONFIG_NUMBER_BYTES])
{
    switch (config_setting_type(setting)) {
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        snprintf(number, MASTER_CONFIG_NUMBER_BYTES, "%lld", config_setting_get_int64(setting));
        return row->type == SETTINGS_WHOLE || row->type == SETTINGS_CHOICE ? number : NULL;
    case CONFIG_TYPE_BOOL:
        return row->type != SETTINGS_SWITCH ? NULL : config_setting_get_bool(setting) ? "true" : "false";
    case CONFIG_TYPE_STRING:
        if (row->type == SETTINGS_SWITCH ||
            (row->type == SETTINGS_WHOLE && strcmp(row->unit_or_choices, "bytes") != 0))
            return NULL;
        return config_setting_get_string(setting);
    default:
        return NULL;
    }
}

const char *master_config_value(const config_setting_t *setting, const struct settings_row *row,
                                const char *name, char number[MASTER_CONFIG_NUMBER_BYTES], struct err *wrong)
{
    static const char *const wanted[] = {[SETTINGS_TEXT] = "a text in quotes",
                                         [SETTINGS_WHOLE] = "a whole number",
                                         [SETTINGS_SWITCH] = "true or false",
                                         [SETTINGS_CHOICE] = "a text in quotes",
                                         [SETTINGS_LIST] = "a text in quotes, or a list of texts"};
    const char *value = value_of(setting, row, number);
    if (value == NULL)
        err_set(wrong, RC_BAD_REQUEST, "%s is %s, but must be %s", name, type_name(setting),
                wanted[row->type]);
    return value;
}

static enum rc problem_at(struct master_config *config, const config_setting_t *setting, const char *sentence,
                          struct err *err)
{
    return master_config_problem(config, (unsigned)config_setting_source_line(setting), sentence, err);
}

/* One value of the last rule. */
static enum rc take_value(struct master_config *config, const config_setting_t *setting, struct err *err)
{
    const char *name = config_setting_name(setting);
    const struct settings_row *row = ingest_mapping_row(name);
    char number[MASTER_CONFIG_NUMBER_BYTES];
    struct err wrong = {0};
    if (row == NULL) {
        err_set(&wrong, RC_BAD_REQUEST, "a rule sets no %s", name);
        return problem_at(config, setting, wrong.message, err);
    }
    const char *value = master_config_value(setting, row, name, number, &wrong);
    if (value == NULL)
        return problem_at(config, setting, wrong.message, err);
    enum rc rc = ingest_rules_set(&config->rules, row, value, &wrong);
    if (rc == RC_BAD_REQUEST)
        return problem_at(config, setting, wrong.message, err);
    return rc == RC_OK ? RC_OK : err_set(err, rc, "%s", wrong.message);
}

static enum rc take_rule(struct master_config *config, const config_setting_t *rule, struct err *err)
{
    if (config_setting_type(rule) != CONFIG_TYPE_GROUP)
        return problem_at(config, rule, "a rule is a group in braces: { match = \"*.tif\"; quality = 85; }",
                          err);
    const char *match = NULL;
    if (!config_setting_lookup_string(rule, "match", &match) || match[0] == '\0')
        return problem_at(config, rule, "this rule has no match, the pattern of the names that it is for",
                          err);
    enum rc rc = ingest_rules_add(&config->rules, match, err);
    for (int i = 0; i < config_setting_length(rule) && rc == RC_OK; i++) {
        const config_setting_t *setting = config_setting_get_elem(rule, (unsigned)i);
        if (strcmp(config_setting_name(setting), "match") != 0)
            rc = take_value(config, setting, err);
    }
    return rc;
}

enum rc master_config_rules_take(struct master_config *config, const config_setting_t *list, struct err *err)
{
    if (config_setting_type(list) != CONFIG_TYPE_LIST)
        return problem_at(config, list,
                          MASTER_CONFIG_RULES_KEY " is a list in parentheses: ( { match = … }, … )", err);
    enum rc rc = RC_OK;
    for (int i = 0; i < config_setting_length(list) && rc == RC_OK; i++)
        rc = take_rule(config, config_setting_get_elem(list, (unsigned)i), err);
    return rc;
}
