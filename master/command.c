#include "master/command.h"

#include <stdio.h>
#include <string.h>

enum rc master_command_flag(const struct master_flag *table, size_t count, char *const **word,
                            size_t *ret_number, const char **ret_value, struct err *err)
{
    const char *option = **word;
    size_t length = strcspn(option, "="), number = 0;
    while (number < count &&
           (strlen(table[number].flag) != length || memcmp(table[number].flag, option, length) != 0))
        number++;
    const char *value = NULL;
    if (number < count && table[number].value == NULL && option[length] != '\0')
        return err_set(err, RC_BAD_REQUEST, "%s takes no value", table[number].flag);
    if (number < count && table[number].value != NULL) {
        value = option[length] == '=' ? option + length + 1 : *++*word;
        if (value == NULL || value[0] == '\0')
            return err_set(err, RC_BAD_REQUEST, "%s needs a value", table[number].flag);
    }
    *ret_number = number;
    *ret_value = value;
    return RC_OK;
}

int master_command_usage(const char *command, const struct err *err)
{
    fprintf(stderr, "vitrine: %s. \"%s --help\" lists what there is.\n", err->message, command);
    return MASTER_EXIT_USAGE;
}

int master_command_failed(const struct err *err)
{
    fprintf(stderr, "vitrine: %s\n", err->message);
    return MASTER_EXIT_FAILED;
}

int master_command_refused(const char *command, const struct err *err)
{
    return err->rc == RC_BAD_REQUEST ? master_command_usage(command, err) : master_command_failed(err);
}
