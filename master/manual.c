#include "master/manual.h"

#include "base/settings.h"
#include "master/ingest_options.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The commands, once, for help and man page. */
static const struct {
    const char *usage, *help;
} command[] = {
    {"serve [-c FILE] [OPTION...]", "serve pictures, in the foreground; the log goes to standard error"},
    {"resolve ID [OPTION...]", "say where an identifier leads, and by which rule"},
    {"ingest SOURCE... --into DIR", "make pyramids of masters; \"vitrine ingest --help\" lists its options"},
    {"purge ID|--prefix TEXT|--all",
     "make a running server forget what it has cached of these images, at once"},
    {"prune [--unused DAYS]", "remove cached answers that nobody has asked for in so long (30)"},
    {"warm FILE [--sizes W,W...]",
     "have requests (or sizes of identifiers) made before anybody asks; - is standard input"},
    {"status", "say how a running server is"},
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

static const char *row_value(const struct settings_row *row)
{
    return row->type == SETTINGS_WHOLE    ? "N"
           : row->type == SETTINGS_SWITCH ? "true|false"
                                          : row->unit_or_choices;
}

/* The options that every command has in its own way: those of settings. */
static void print_setting_flags(const char *of_command)
{
    printf("  %-22s %s\n", "-c FILE", "read settings from FILE; options go before what it says");
    for (size_t i = 0; i < settings_table_length; i++) {
        const struct settings_row *row = &settings_table[i];
        if (row->flag == NULL || strcmp(settings_command(row), of_command) != 0)
            continue;
        char usage[80];
        snprintf(usage, sizeof usage, "%s %s", row->flag, row_value(row));
        /* A long one has its line to itself. */
        printf(strlen(usage) > 22 ? "  %s\n  %22s" : "  %-22s%s", usage, "");
        printf(" %s (default: %s)\n", row->help, row_default(row));
    }
    printf("  %-22s %s\n", "--set KEY=VALUE", "any setting; \"vitrine --print-sample-config\" lists them");
}

void master_manual_ingest(void)
{
    printf(
        "vitrine ingest SOURCE... --into DIR [OPTION...]\n\n"
        "Makes tiled pyramids of masters. SOURCE is a file, a folder with all below it, or a pattern in "
        "quotes.\n"
        "What is done and unchanged is skipped, so the same command goes on where it was interrupted.\n\n");
    for (size_t i = 0; i < master_ingest_flag_count; i++) {
        const struct master_ingest_flag *flag = &master_ingest_flags[i];
        char usage[64];
        snprintf(usage, sizeof usage, "%s %s", flag->flag, flag->value != NULL ? flag->value : "");
        printf("  %-22s %s\n", usage, flag->help);
    }
    printf("\nHow, also by rules of the configuration file (ingest_rules):\n\n");
    print_setting_flags("ingest");
    printf("\nExit status: 0 every file has its pyramid, 1 some have not, 2 bad usage.\n");
}

void master_manual_help(void)
{
    printf("Vitrine serves very large images to the web (IIIF Image API 3.0 and 2.1.1).\n\n");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  vitrine %-30s %s\n", command[i].usage, command[i].help);
    printf("\nOptions of serve:\n\n");
    print_setting_flags("serve");
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
    printf("\n# rules of ingest: for sources whose name fits match these values hold; later rules go before\n"
           "#   ingest_rules = ( { match = \"*.png\"; compression = \"deflate\"; tile = 512; } );\n");
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

static void roff_rules(void)
{
    static const char *const line[] = {
        "ingest_rules = (",
        "  { match = \"maps/*\"; quality = 95; tile = 512; },",
        "  { match = \"*.jpg\"; destination = \"{path}.jpg.tif\"; }",
        ");",
    };
    printf(".SH RULES\n.TP\n.B ingest_rules\nA list of rules. The values of each hold for the sources whose "
           "name "
           "below what "
           "was\nnamed fits its pattern (as of a shell, * fits / too); of several that fit, the later go "
           "before the\n"
           "earlier, and the command line goes before all. They are called as the settings without "
           "ingest_:\n.nf\n");
    for (size_t i = 0; i < sizeof line / sizeof line[0]; i++) {
        roff(line[i]);
        printf("\n");
    }
    printf(".fi\n");
}

static void roff_ingest(void)
{
    printf(".SH INGEST\n"
           "A source is a file, a folder with all below it, or a pattern in quotes. Hidden names, and files "
           "in folders\n"
           "that are no pictures, are passed over. A pyramid has the name that its source has below what was "
           "named.\n"
           "Each says in itself of which version of its master it was made and how; what is so already is "
           "skipped.\n"
           "A file that fails, or kills its converter, costs a line; the others go on, and the exit status "
           "is 1.\n"
           "INT and TERM end the run; the same command goes on from there. The options are those of the "
           "settings\n"
           "whose names begin with ingest_, and these.\n");
    for (size_t i = 0; i < master_ingest_flag_count; i++) {
        const struct master_ingest_flag *flag = &master_ingest_flags[i];
        printf(".TP\n.B ");
        roff(flag->flag);
        if (flag->value != NULL)
            printf(" \\fI%s\\fP", flag->value);
        printf("\n");
        roff(flag->help);
        printf(".\n");
    }
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
        if (settings_table[i].flag != NULL && strcmp(settings_command(&settings_table[i]), "serve") == 0) {
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
    roff_ingest();
    roff_rules();
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
        "on in them.\nlisten, admin, max_connections, cache_files and memory_cache stay as they are until "
        "the next start.\n"
        ".TP\n.B USR2\nthe program file is started again, with the same command line, and takes over every "
        "socket and connection\nas soon as it is ready; it has another process number then. When it does not "
        "come up, the old one goes on.\n"
        ".TP\n.B RTMIN+1\nfor systemd's RestartKillSignal: the service manager is given sockets and "
        "connections, and the server\nleaves at once. Without a manager, as TERM.\n"
        ".TP\n.B USR1\nnothing, for log rotation: the log goes to standard error.\n"
        ".SH EXIT STATUS\n0 ok, 1 failed, 2 bad usage.\n");
}
