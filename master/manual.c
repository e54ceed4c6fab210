#include "master/manual.h"

#include "base/settings.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The commands, once, for help and man page. */
static const struct {
    const char *usage, *help;
} command[] = {
    {"serve [-c FILE] [OPTION...]", "serve pictures, in the foreground; the log goes to standard error"},
    {"resolve ID [OPTION...]", "say where an identifier leads, and by which rule"},
    {"check-config FILE", "say what is wrong with a configuration, with line numbers"},
    {"--help", "this text"},
    {"--version", "the version"},
    {"--print-sample-config", "a configuration file with every setting and its default"},
    {"--print-man-page", "the manual page, in roff"},
};
#define COMMANDS (sizeof command / sizeof command[0])

static const char *row_default(const struct settings_row *row)
{
    return row->preset[0] != '\0' ? row->preset : "empty";
}

/* "from 1 to 100 px", "one of a, b, c", "true or false" or "". */
static void row_print_range(const struct settings_row *row)
{
    if (row->type == SETTINGS_WHOLE) {
        printf("from %" PRId64 " to %" PRId64 "%s%s", row->least, row->most,
               row->unit_or_choices[0] != '\0' ? " " : "", row->unit_or_choices);
    } else if (row->type == SETTINGS_CHOICE) {
        printf("one of ");
        for (const char *c = row->unit_or_choices; *c != '\0'; c++)
            *c == '|' ? (void)printf(", ") : (void)putchar(*c);
    } else {
        printf("%s", row->type == SETTINGS_SWITCH ? "true or false" : row->unit_or_choices);
    }
}

void master_manual_help(void)
{
    printf("Vitrine serves very large images to the web (IIIF Image API 3.0 and 2.1.1).\n\n");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  vitrine %-30s %s\n", command[i].usage, command[i].help);
    printf("\nOptions of serve:\n\n  %-22s %s\n", "-c FILE",
           "read settings from FILE; options go before what it says");
    for (size_t i = 0; i < settings_table_length; i++) {
        const struct settings_row *row = &settings_table[i];
        if (row->flag == NULL)
            continue;
        char usage[64];
        snprintf(usage, sizeof usage, "%s %s", row->flag,
                 row->type == SETTINGS_WHOLE ? "N" : row->unit_or_choices);
        printf("  %-22s %s (default: %s)\n", usage, row->help, row_default(row));
    }
    printf("  %-22s %s\n", "--set KEY=VALUE", "any setting; \"vitrine --print-sample-config\" lists them");
    printf("\nExit status: 0 ok, 1 failed, 2 bad usage. Signals: TERM drains and leaves, QUIT leaves at "
           "once,\nHUP reads the configuration again, USR2 starts the program again in place of this one.\n");
}

/* Numbers with a suffix and texts are quoted, as libconfig wants them. */
static bool row_needs_quotes(const struct settings_row *row)
{
    if (row->type == SETTINGS_WHOLE)
        return strpbrk(row->preset, "KMGT") != NULL;
    return row->type != SETTINGS_SWITCH;
}

void master_manual_sample_config(void)
{
    printf(
        "# Settings of vitrine %s, each with its default.\n"
        "# Remove the # in front of a line to change it; check the result with: vitrine check-config FILE\n",
        VITRINE_VERSION);
    for (size_t i = 0; i < settings_table_length; i++) {
        const struct settings_row *row = &settings_table[i];
        const char *quote = row_needs_quotes(row) ? "\"" : "";
        printf("\n# %s (", row->help);
        row_print_range(row);
        printf(")\n#%s = %s%s%s;\n", row->name, quote, row->preset, quote);
    }
}

/* Text of a roff line: hyphens that are to be copied as such, no control lines by accident. */
static void roff(const char *text)
{
    if (*text == '.' || *text == '\'')
        printf("\\&");
    for (; *text != '\0'; text++)
        if (*text == '-')
            printf("\\-");
        else if (*text == '\\')
            printf("\\e");
        else
            putchar(*text);
}

static void roff_row(const struct settings_row *row)
{
    printf(".TP\n.B ");
    roff(row->name);
    if (row->flag != NULL) {
        printf(" \\fR(also \\fP");
        roff(row->flag);
        printf("\\fR)\\fP");
    }
    printf("\n");
    roff(row->help);
    printf(".\n");
    row_print_range(row);
    printf("; default: ");
    roff(row_default(row));
    printf(".\n");
}

void master_manual_man_page(void)
{
    printf(".TH VITRINE 1 \"\" \"vitrine %s\"\n.SH NAME\nvitrine \\- serves very large images to the "
           "web\n.SH SYNOPSIS\n",
           VITRINE_VERSION);
    for (size_t i = 0; i < COMMANDS; i++) {
        printf("%s.B vitrine\n", i > 0 ? ".br\n" : "");
        roff(command[i].usage);
        printf("\n");
    }
    printf(".SH DESCRIPTION\n"
           "Vitrine answers the IIIF Image API, versions 3.0 and 2.1.1, from a directory of pictures.\n"
           "A master process holds the sockets and every connection; worker processes answer.\n"
           ".SH COMMANDS\n");
    for (size_t i = 0; i < COMMANDS; i++) {
        printf(".TP\n.B ");
        roff(command[i].usage);
        printf("\n");
        roff(command[i].help);
        printf(".\n");
    }
    printf(".SH OPTIONS\n.TP\n.B \\-c \\fIFILE\\fP\nreads settings from the file; what the command line says "
           "goes first.\n"
           ".TP\n.B \\-\\-set \\fIKEY\\fP=\\fIVALUE\\fP\nsets any of the settings below.\n");
    for (size_t i = 0; i < settings_table_length; i++)
        if (settings_table[i].flag != NULL) {
            printf(".TP\n.B ");
            roff(settings_table[i].flag);
            printf(" \\fIVALUE\\fP\nsets ");
            roff(settings_table[i].name);
            printf(".\n");
        }
    printf(".SH SETTINGS\n"
           "The file is in the syntax of libconfig: texts in quotes, a semicolon behind each setting.\n"
           "Numbers of bytes may be written with K, M, G or T behind them, then in quotes.\n");
    for (size_t i = 0; i < settings_table_length; i++)
        roff_row(&settings_table[i]);
    printf(
        ".SH SIGNALS\n"
        ".TP\n.B TERM, INT\nanswers in flight are finished, for drain_timeout at most, then the server "
        "leaves;\n"
        "a second one acts like QUIT.\n"
        ".TP\n.B QUIT\nthe server leaves at once.\n"
        ".TP\n.B HUP\nthe command line and the configuration file are read again. When anything is wrong, "
        "the log "
        "says what\nand nothing changes; otherwise new workers serve with the new settings, and connections "
        "go "
        "on in them.\nlisten, admin, max_connections, cache_files and memory_cache stay as they are until the next start.\n"
        ".TP\n.B USR2\nthe program file is started again, with the same command line, and takes over every "
        "socket and connection\nas soon as it is ready; it has another process number then. When it does not "
        "come up, the old one goes on.\n"
        ".TP\n.B RTMIN+1\nfor systemd's RestartKillSignal: the service manager is given sockets and "
        "connections, and the server\nleaves at once. Without a manager, as TERM.\n"
        ".TP\n.B USR1\nnothing, for log rotation: the log goes to standard error.\n"
        ".SH EXIT STATUS\n0 ok, 1 failed, 2 bad usage.\n");
}
