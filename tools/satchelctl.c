/* satchelctl - the admin's tool. Options and the table of commands; the commands are in ctl_*.c. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/ctl.h"

typedef struct command {
    const char *name; /* one word, or two */
    const char *arguments;
    int least, most; /* how many arguments */
    const ctl_option *options;
    int (*run)(ctl *c);
    const char *summary, *help;
} command;

/* ---- the commands, and the options of those that have some ---- */

static const ctl_option retire_options[] = {
    {"force", NULL, "though devices depend on the old one: they will have to enrol again"},
    {0},
};
#define SCOPE_OPTIONS                                                                                                            \
    {"profile", "NAME", "of the published rules: what the device may hold and write; full: everything"},                         \
        {"user", "KEY", "whose device it is, for the profile: a value in SQL such as 7, 'abc' or x'0a1b'; '' for none"}, {       \
        "store", "KEY", "at which store it stands, likewise"                                                                     \
    }
static const ctl_option add_options[] = {
    SCOPE_OPTIONS,
    {"qr", NULL, "draw the code on the terminal, for a camera"},
    {"qr-svg", "FILE", "draw it into a new file"},
    {0},
};
static const ctl_option device_options[] = {
    SCOPE_OPTIONS,
    {0},
};
static const ctl_option token_options[] = {
    {"rights", "LIST",
     "read, write, server (what devices may not write), console:viewer, console:manager, console:admin (what a person of\n"
     "                             that role may do in the console), with commas; default read,write"},
    {0},
};
static const ctl_option user_add_options[] = {
    {"role", "ROLE", "viewer (default), manager or admin"},
    {"random", NULL, "the server makes the password, and it is printed"},
    {0},
};
static const ctl_option user_passwd_options[] = {
    {"random", NULL, "the server makes the password, and it is printed"},
    {0},
};
static const ctl_option audit_list_options[] = {
    {"limit", "N", "how many (default 100, up to 10000)"},
    {"before", "ID", "older ones than this"},
    {0},
};
static const ctl_option audit_verify_options[] = {
    {"head", "ID:HASH", "what an earlier check told, kept elsewhere: it must still be there"},
    {0},
};
static const ctl_option conflicts_options[] = {
    {"open", NULL, "those alone that nobody has accepted or restored"},
    {"limit", "N", "how many (default 50, up to 10000)"},
    {0},
};
static const ctl_option rejected_options[] = {
    {"all", NULL, "the settled ones too"},
    {0},
};

static const ctl_option backup_options[] = {
    {"replace", NULL, "an older backup of this name may go"},
    {"verify", NULL, "make none, but check the one that is there; no server is asked"},
    {0},
};
static const ctl_option verify_options[] = {
    {"repair", NULL, "put rows right that do not hold what the log says"},
    {0},
};
static const ctl_option restore_options[] = {
    {"force", NULL, "the data directory that is there is kept aside, under another name"},
    {0},
};

static const ctl_option import_options[] = {
    {"format", "csv|jsonl", "of the file (default: by its name, else csv)"},
    {"source", "NAME", "where the rows come from; with --key"},
    {"key", "COLUMN,...", "the columns that are the source's key of a row; they need not be the table's"},
    {"ref", "COLUMN=SOURCE:TABLE", "the column holds that source's key of a row of TABLE; may be repeated"},
    {"map", "NAME=COLUMN,...", "the file's column NAME is the table's COLUMN; NAME= leaves it out"},
    {"null", "TEXT", "a field with this text is NULL (default: an empty one without quotation marks)"},
    {"separator", "C", "of CSV (default a comma; \\t is a tab)"},
    {"errors", "FILE", "write the rows that fail to FILE, with the reason, to be mended and imported"},
    {"batch", "N", "rows of one transaction (default 1000, up to 10000)"},
    {"dry-run", NULL, "say what would become of the rows, and do nothing"},
    {0},
};
static const ctl_option export_options[] = {
    {"all", NULL, "every table, each into a file of its name in DIR"},
    {"format", "csv|jsonl", "of the files (default: by the file's name, else csv)"},
    {"where", "COLUMN=VALUE", "only rows with this value; may be repeated"},
    {"null", "TEXT", "a VALUE that stands for NULL"},
    {"separator", "C", "of CSV (default a comma; \\t is a tab)"},
    {0},
};

static const ctl_option alert_list_options[] = {
    {"all", NULL, "those that are over too"},
    {"limit", "N", "how many (default 1000, up to 10000)"},
    {0},
};
static const ctl_option alert_silence_options[] = {
    {"for", "TIME", "how long: 90m, 8h, 14d"},
    {"device", "NAME", "of this device alone"},
    {0},
};
static const ctl_option alert_unsilence_options[] = {
    {"device", "NAME", "of this device alone"},
    {0},
};
static const ctl_option alert_set_options[] = {
    {"metric", "NAME", "what is looked at; satchelctl(8) lists them"},
    {"aggregation", "HOW", "last, held, sum, ratio, min, max, avg"},
    {"window", "TIME", "over which that is: 90s, 15m, 8h, 14d"},
    {"op", "OP", "<, <=, > or >="},
    {"threshold", "N", "a number, or a time as that of --window"},
    {"severity", "NAME", "info, warning or critical"},
    {"profile", "NAME", "only devices of this profile; '' for all"},
    {"hours", "HOURS", "only then, as \"mon-sat 08:00-20:00\"; '' for always"},
    {"about", "TEXT", "what is the matter, as it stands behind the device's name"},
    {0},
};
static const ctl_option automation_try_options[] = {
    {"table", "NAME", "the row's table"},
    {"key", "KEY", "its key as SQL literals, with commas: x'0a0b' for bytes, 'abc' for text"},
    {0},
};
static const ctl_option automation_replay_options[] = {
    {"unconditional", NULL, "leave its condition aside"},
    {0},
};
static const ctl_option automation_history_options[] = {
    {"limit", "N", "how many (default 50, up to 10000)"},
    {0},
};
static const ctl_option explain_options[] = {
    {"device", "NAME", "the device"},
    {"table", "NAME", "the row's table"},
    {"key", "KEY", "its key as SQL literals, with commas: x'0a0b' for bytes, 'abc' for text"},
    {0},
};
static const ctl_option publish_options[] = {
    {"end-rollout", NULL, "though a rollout is under way: it ends, and these rules are for all devices"},
    {0},
};
static const ctl_option rollout_options[] = {
    {"percent", "N", "to so many percent, rounded up, of the devices of each profile that FILE changes (default 0: to none yet)"},
    {0},
};
static const ctl_option grant_options[] = {
    {"device", "NAME", "who is to have it"},
    {"table", "NAME", "the row's table"},
    {"key", "KEY", "its key as SQL literals, with commas: x'0a0b' for bytes, 'abc' for text"},
    {"until", "WHEN", "how long (90m, 8h, 14d), or a time in UTC (2026-12-24, \"2026-12-24 18:00\")"},
    {"reason", "TEXT", "why, for whoever reads the list"},
    {0},
};

static const command commands[] = {
    {"device add", "NAME", 1, 1, add_options, ctl_device_add, "print a one-time code that enrols a device",
     "Prints a one-time enrolment code for a new device of this name; it is good for one day. The code is a secret: it carries the server's\n"
     "address, what the server's certificate must show, and the right to become this device. It alone goes to standard output.\n"
     "Once rules are published (scope publish) a device needs a profile.\n"},
    {"device list", "", 0, 0, NULL, ctl_device_list, "list the devices",
     "Lists every device: when it was seen, up to which commit it has everything, how many of its transactions wait on it, how many were\n"
     "rejected and are open, how many of its values lost a conflict, how far its clock is off, and which software it has, on which platform.\n"},
    {"device show", "NAME", 1, 1, NULL, ctl_device_show, "show one device",
     "Shows what the server knows of one device, with what waited on it by table when it connected last, if it told, and what came out when it\n"
     "compared its rows last.\n"},
    {"device rename", "OLD NEW", 2, 2, NULL, ctl_device_rename, "give a device another name",
     "Names the device NEW everywhere, also where it is told of in the past.\n"},
    {"device set", "NAME", 1, 1, device_options, ctl_device_set, "give a device another profile, user or store",
     "Changes what of --profile, --user and --store is given. The device gets the rows that it may hold now and forgets those that it may not,\n"
     "at once if it is connected; what it has changed there and not sent yet is taken in first.\n"},
    {"device pause", "NAME", 1, 1, NULL, ctl_device_pause, "let a device wait",
     "From now on the device is told to come back later, every five minutes; its connections are closed. It goes on offline, and nothing is lost.\n"},
    {"device resume", "NAME", 1, 1, NULL, ctl_device_resume, "let a paused device come again",
     "The device is served again when it next comes, within about five minutes.\n"},
    {"device revoke", "NAME", 1, 1, NULL, ctl_device_revoke, "cut a device off",
     "From now on the device is refused, and it is told so; its connections are closed. What it has sent stays.\n"},
    {"device wipe", "NAME", 1, 1, NULL, ctl_device_wipe, "have a device erase its data",
     "From now on nothing is taken from the device. When it next comes it erases its database, with what was not sent, and its key, and says so:\n"
     "then device show calls it wiped. Nothing undoes this. A revoked device whose name was given again is named by its key's fingerprint (device\n"
     "list --json).\n"},
    {"device remove", "NAME", 1, 1, NULL, ctl_device_remove, "take a device out of the lists",
     "Takes a device that is revoked, or has said that it is wiped, out of every list and count; its name is free. What it wrote stays, under its name,\n"
     "and its key stays refused. Its grants end, and so does an enrolment code of its name that was not used. It cannot be wiped any more. Refuses while\n"
     "refused transactions of its are open. Nothing undoes this.\n"},
    {"device sync", "NAME", 1, 1, NULL, ctl_device_sync, "have a connected device sync now",
     "The device, if it is connected, is sent away and comes again within seconds: it sends what it has and gets what it has missed, even where its\n"
     "connection had gone silent. One that is not connected cannot be reached, and syncs when it next comes.\n"},
    {"device resnapshot", "NAME", 1, 1, NULL, ctl_device_resnapshot, "send a device everything anew",
     "When it next comes the device gets a snapshot of what it may hold in the place of what it holds. What it has not sent yet stays, and is sent.\n"},
    {"device verify", "NAME", 1, 1, NULL, ctl_device_verify, "have a device compare all its rows",
     "The device compares all its rows with the server's, as it does by itself about once a day; ranges that differ are sent to it again. At once if it is\n"
     "connected, else when it next comes; until then the order stands. What came out is in device show, with the first ranges that differed.\n"},
    {"device rotate-key", "NAME", 1, 1, NULL, ctl_device_rotate_key, "have a device make a new key",
     "The device makes a new key pair and has it certified: at once if it is connected, else when it next comes; until then the order stands, and device\n"
     "show tells since when. Its old key opens nothing any more once the new one was used; what it has not sent stays. Whoever has the old key can do it\n"
     "in its place: a device that is lost is revoked or wiped.\n"},
    {"ca status", "", 0, 0, NULL, ctl_ca_status, "show the device authority, and who trusts which",
     "Shows the authority that signs the devices' certificates and, while there are two, the devices that still have only the old one.\n"},
    {"ca rotate", "", 0, 0, NULL, ctl_ca_rotate, "make a new device authority beside the old one",
     "Makes a new authority. From now on it signs the devices' certificates, both are accepted, and devices are given both to trust, each with a new\n"
     "certificate when it next syncs. The server goes on showing what the old one signed until ca retire.\n"},
    {"ca retire", "", 0, 0, retire_options, ctl_ca_retire, "end the old device authority",
     "The new authority takes the old one's place: the server shows what it signed, and certificates of the old one are refused. Refuses while devices\n"
     "that are active, paused or to be wiped have not shown that they trust the new one; sync or revoke them first.\n"},
    {"token add", "NAME", 1, 1, token_options, ctl_token_add, "print a token with which a program reads and writes over HTTPS",
     "Makes a token for a program of another system (server/README.md, HTTP API). It is printed once, alone on standard output; the server keeps only\n"
     "its hash. What the program writes is told from what others write by this name, in the conflict log and in the feed of changes.\n"},
    {"token list", "", 0, 0, NULL, ctl_token_list, "list the tokens",
     "Lists the tokens: what they may do, and when they were last used.\n"},
    {"token revoke", "NAME", 1, 1, NULL, ctl_token_revoke, "make a token worthless",
     "From now on requests with this token are refused. What was written with it stays, under its name.\n"},
    {"user add", "NAME", 1, 1, user_add_options, ctl_user_add, "let a person sign in to the console",
     "Makes a user of the console. The password is asked for on the terminal, else it is the first line of standard input; it is never an argument.\n"
     "A viewer sees everything; a manager settles conflicts and refusals and grants rows as well; an admin does everything.\n"},
    {"user list", "", 0, 0, NULL, ctl_user_list, "list who may sign in",
     "Lists the users: their roles, when they were last in, and wrong passwords since.\n"},
    {"user passwd", "NAME", 1, 1, user_passwd_options, ctl_user_passwd, "give a user another password",
     "As user add. The user's sessions end, and waiting after wrong passwords does.\n"},
    {"user role", "NAME ROLE", 2, 2, NULL, ctl_user_role, "give a user another role",
     "ROLE is viewer, manager or admin; it counts at once.\n"},
    {"user lock", "NAME", 1, 1, NULL, ctl_user_lock, "keep a user out",
     "The user is signed out and cannot sign in any more, until user unlock.\n"},
    {"user unlock", "NAME", 1, 1, NULL, ctl_user_unlock, "let a user in again",
     "Takes back user lock, and ends the waiting after wrong passwords.\n"},
    {"user remove", "NAME", 1, 1, NULL, ctl_user_remove, "remove a user",
     "The user is signed out and is no more. What the audit log has stays.\n"},
    {"audit list", "", 0, 0, audit_list_options, ctl_audit_list, "list who did what",
     "Lists, newest first, what was done and what was refused, over the console, with tokens and with this program; what only reads is not there.\n"},
    {"audit verify", "", 0, 0, audit_verify_options, ctl_audit_verify, "check that the audit log is as it was written",
     "Computes the chain of hashes anew, and tells the first row that was changed or taken away (exit status 1). Whoever can write the store's file could make\n"
     "a whole new log: keep the head that this prints somewhere else, and give it to a later check.\n"},
    {"conflict list", "", 0, 0, conflicts_options, ctl_conflict_list, "list values that lost to a concurrent change",
     "Lists the newest entries of the conflict log: the value that was kept, the one that lost, whose they were, and the rule that decided.\n"},
    {"conflict show", "ID", 1, 1, NULL, ctl_conflict_show, "show one of them beside what stands there now",
     "Shows an entry of the conflict log, and the value that the field has now.\n"},
    {"conflict accept", "ID...", 1, 60, NULL, ctl_conflict_accept, "say that what was kept is right",
     "Marks conflicts as looked at. Nothing changes in the data.\n"},
    {"conflict restore", "ID", 1, 1, NULL, ctl_conflict_restore, "put the value that lost back",
     "Writes the value that lost, as a new change of the server's own, which every device gets that holds the row. It is refused if the row is not there\n"
     "any more, for a counter, and where the rule of the column keeps the other value. A column of a group comes back with all that was lost of the group.\n"},
    {"conflicts", "", 0, 0, conflicts_options, ctl_conflict_list, "the same as conflict list", "As conflict list.\n"},
    {"rejected", "", 0, 0, rejected_options, ctl_rejected, "list refused transactions",
     "Lists the transactions of devices that were refused and that nobody has settled.\n"},
    {"rejected show", "DEVICE NUMBER", 2, 2, NULL, ctl_rejected_show, "show a refused transaction beside what the server has",
     "Shows why a transaction was refused and, change by change, the values that it wanted beside those that are here now.\n"},
    {"rejected retry", "DEVICE NUMBER", 2, 2, NULL, ctl_rejected_retry, "settle a refused transaction by making its changes here",
     "Makes the changes as the server's own author, under the rules that hold for sql, and settles the refusal; if they are refused again, nothing is\n"
     "changed. All devices get them as they get any change. The device that sent them shows its refusal until it is discarded there; it cannot be\n"
     "retried any more.\n"},
    {"rejected edit", "DEVICE NUMBER FILE|-", 3, 3, NULL, ctl_rejected_edit, "the same with other values",
     "As rejected retry, with other values: FILE has {\"table\":..., \"key\":{...}, \"values\":{...}} or an array of such, as rejected show --json names\n"
     "tables, keys and values. Each is of a row that the transaction inserts or updates.\n"},
    {"rejected discard", "DEVICE NUMBER", 2, 2, NULL, ctl_rejected_discard, "settle a refused transaction by discarding it",
     "Discards a refused transaction for good. The device shows it until it is discarded there as well; it cannot be retried any more.\n"},
    {"scope show", "", 0, 0, NULL, ctl_scope_show, "print the rules of who may hold and change what",
     "Prints the rules that are in force, as they were published.\n"},
    {"scope publish", "FILE|-", 1, 1, publish_options, ctl_scope_publish, "put rules in force",
     "Puts the rules of FILE (server/scope.h, server/crm/scope.sql) in the place of those before. Every row is looked at again, and what moves is sent to\n"
     "the devices and taken from them. Meanwhile no changes are taken; they wait. Rules with a mistake change nothing, and are told with file and line.\n"},
    {"scope dry-run", "FILE|-", 1, 1, NULL, ctl_scope_dry_run, "say what publishing would move",
     "Says which rows each device would get and lose if FILE were published, and changes nothing. It works on a copy of the store beside it, which needs as\n"
     "much room once more; the server goes on meanwhile.\n"},
    {"scope explain", "", 0, 0, explain_options, ctl_scope_explain, "say why a row is on a device, or why not",
     "Tells the row's buckets and the rules that put it there, the device's buckets, the columns that it does not get, and what it may write.\n"},
    {"scope grant", "", 0, 0, grant_options, ctl_scope_grant, "give a device a row and what follows it, for a time",
     "The device gets the row at its next contact, with all rows that follow it by the rules, and loses them again when the time is over.\n"},
    {"scope grants", "", 0, 0, NULL, ctl_scope_grants, "list the grants", "Lists what devices have been given for a time.\n"},
    {"scope revoke", "ID", 1, 1, NULL, ctl_scope_revoke, "end a grant before its time", "Ends a grant now.\n"},
    {"rollout start", "FILE|-", 1, 1, rollout_options, ctl_rollout_start, "put rules in force for some devices first",
     "For each profile that FILE changes, a second one of its name and @next goes by FILE, beside the rules in force. A device is under FILE's rules once\n"
     "it has that profile: by --percent, by rollout advance, or one by one by device set --profile NAME@next. Where rows lie is the same for all devices,\n"
     "so FILE may change profiles, masks and rights, but neither scope_bucket nor scope_parent, and it has the same profiles.\n"},
    {"rollout advance", "PERCENT", 1, 1, NULL, ctl_rollout_advance, "give them to more devices",
     "Until so many percent, rounded up, of the devices of each profile have the next one. None loses it again. Which ones goes by their numbers.\n"},
    {"rollout finish", "", 0, 0, NULL, ctl_rollout_finish, "put them in force for all",
     "Publishes the file as it was given. Devices with NAME@next have NAME, which is now what the file makes of it.\n"},
    {"rollout abort", "", 0, 0, NULL, ctl_rollout_abort, "put the rules of before in force for all",
     "Publishes what was in force before. Devices with NAME@next have NAME.\n"},
    {"rollout show", "", 0, 0, NULL, ctl_rollout_show, "say how far a rollout is",
     "For each profile: its devices, how many have the next one, and how many of these were here since.\n"},
    {"alert list", "", 0, 0, alert_list_options, ctl_alert_list, "list what is not as it should be",
     "Lists the alerts that are open or acknowledged, what is silenced, and mail or webhook that fail. An alert is over by itself when its rule does not hold any more.\n"},
    {"alert ack", "ID...", 1, 60, NULL, ctl_alert_ack, "say that somebody knows of an alert",
     "Acknowledges alerts. Who has not been told of one yet is not told of it any more.\n"},
    {"alert silence", "RULE", 1, 1, alert_silence_options, ctl_alert_silence, "have nobody told for a time",
     "Alerts of the rule are opened as ever, but nobody is told of them for so long. What still lasts then is told then.\n"},
    {"alert unsilence", "RULE", 1, 1, alert_unsilence_options, ctl_alert_unsilence, "end a silence",
     "Ends a silence before its time.\n"},
    {"alert rules", "", 0, 0, NULL, ctl_alert_rules, "list the rules of alerts", "Lists the rules by which alerts are opened.\n"},
    {"alert set", "RULE", 1, 1, alert_set_options, ctl_alert_set, "change a rule of alerts, or make one",
     "Changes what is given of a rule, or makes a new one, of which --metric, --op and --threshold have to be given. It is looked at at once.\n"},
    {"alert on", "RULE", 1, 1, NULL, ctl_alert_on, "switch a rule of alerts on", "From now on the rule opens alerts.\n"},
    {"alert off", "RULE", 1, 1, NULL, ctl_alert_off, "switch a rule of alerts off",
     "The rule opens no alerts any more, and those that are open are over.\n"},
    {"alert test", "", 0, 0, NULL, ctl_alert_test, "send a test by mail and webhook",
     "Sends a notice that says that it is a test by each way that is set (satcheld.conf(5)), and tells what became of it. Exit status 1 if one fails.\n"},
    {"automation list", "", 0, 0, NULL, ctl_automation_list, "list what the server does by itself",
     "Lists the automations: when each fires, whether it is on, and how often it did something or failed in the history that is kept.\n"},
    {"automation show", "NAME", 1, 1, NULL, ctl_automation_show, "show an automation",
     "Shows when an automation fires, its condition and its actions.\n"},
    {"automation on", "NAME", 1, 1, NULL, ctl_automation_on, "switch an automation on", "From the next change on it fires.\n"},
    {"automation off", "NAME", 1, 1, NULL, ctl_automation_off, "switch an automation off",
     "From the next change on it does nothing, and makes up for nothing when it is switched on again; but a timer does, once.\n"},
    {"automation try", "NAME", 1, 1, automation_try_options, ctl_automation_try, "say what an automation would do for a row",
     "Fires the automation for the row as it is now, tells what it and what follows from it would write, and undoes it all. A timer needs no row.\n"},
    {"automation run", "NAME", 1, 1, NULL, ctl_automation_run, "run a timer now",
     "Runs a timer of the automations now. Exit status 1 if it fails.\n"},
    {"automation replay", "ID", 1, 1, automation_replay_options, ctl_automation_replay, "run what failed again",
     "Runs the automation of an entry of automation history that failed again, once, for the row as it is now. What an update had before is not kept: old.* is what\n"
     "new.* is; where a condition does not hold for that, nothing is done, unless --unconditional leaves it aside. The entry says then by which it was run\n"
     "again, and has not failed any more. Exit status 1 if it fails again.\n"},
    {"automation dismiss", "ID...", 1, 60, NULL, ctl_automation_dismiss, "settle what failed without running it again",
     "Marks entries of automation history that failed as looked at: they count no more among what failed, and can be run again no more. Nothing changes in the data.\n"},
    {"automation history", "[NAME]", 0, 1, automation_history_options, ctl_automation_history, "list what automations did",
     "Lists, newest first, what automations wrote and for which row, what they left as somebody had written it, and why they failed.\n"},
    {"automation publish", "FILE|-", 1, 1, NULL, ctl_automation_publish, "put automations in force",
     "Puts the automations of FILE (server/automation.h, server/crm/automation.sql) in the place of those before. Those of the same name stay on or off.\n"
     "With a mistake nothing is changed, and it is told with file and line.\n"},
    {"verify", "", 0, 0, verify_options, ctl_verify, "check the store",
     "Checks the store's file, row clocks, log, tombstones, references and what is kept beside them against each other, while the server goes on\n"
     "working. Exit status 1 if there is a problem. With --repair, rows that do not hold what the log says they must are put right from it; what is found\n"
     "otherwise stays as it is.\n"},
    {"digest", "", 0, 0, NULL, ctl_digest, "print a hash of each synced table",
     "Prints \"table rows sha256\" for each synced table, for comparing with a device's.\n"},
    {"backup", "DIR", 1, 1, backup_options, ctl_backup, "make a backup of the running server",
     "The server writes a consistent copy of its store, its keys and certificates, and a manifest with their sums, as a new directory DIR, while it\n"
     "goes on working. It is checked, and there is nothing under that name before it is whole. Devices keep what they sent until a backup has it:\n"
     "keep a copy on another machine. It holds the server's private keys.\n"},
    {"backup drill", "[DIR]", 0, 1, NULL, ctl_backup_drill, "try whether a backup can be restored",
     "The server restores the backup DIR (without: the newest that it made) into a directory of its own beside it, checks the store there as verify\n"
     "does, and removes it again; it needs as much room once more. What came out is kept, and the console shows it. Exit status 1 if the backup is not\n"
     "whole. A backup that has the name drill is written ./drill.\n"},
    {"restore", "DIR", 1, 1, restore_options, ctl_restore, "lay a backup out as the data directory",
     "Lays the backup DIR out as the data directory that --data names, while no server runs on it. The next start of satcheld begins a new epoch,\n"
     "and devices send again what they had sent since the backup was made.\n"},
    {"status", "", 0, 0, NULL, ctl_status, "show the server's state",
     "Shows where the server stands and what it has done since it started.\n"},
    {"sql", "FILE|-", 1, 1, NULL, ctl_sql, "run SQL as the server's author",
     "Runs INSERT, UPDATE, DELETE statements of a file or of standard input as the server's own author: each BEGIN ... COMMIT is one\n"
     "transaction, as is each statement outside. They go through the same rules as a device's and reach the devices like theirs. Name the columns in\n"
     "an INSERT: the server's tables have one more. Stops at the first error and names its line; what was before it stays.\n"},
    {"import", "TABLE FILE|-", 2, 2, import_options, ctl_import, "put the rows of a file into a table",
     "Takes the rows of a CSV or JSON Lines file into a table, as the server's own author: each is inserted, updated or left as it is. A row that is\n"
     "refused does not stop the others; its line and the reason are told. The same file again, whole or after a break, makes nothing twice: rows are\n"
     "known by the table's key, or by the source's (--source, --key). Exit status 1 if a row failed.\n"},
    {"export", "TABLE [FILE|-], or --all DIR", 1, 2, export_options, ctl_export, "write the rows of a table to a file",
     "Writes the rows as CSV or JSON Lines, all of them as of one commit, in the order of their keys. What was exported can be imported as it is;\n"
     "--all tells the tables in the order in which to do it.\n"},
};
#define NCOMMANDS (sizeof commands / sizeof *commands)

/* A line for each command whose name begins with this word, NULL for any; how many there are. */
static int print_commands(FILE *to, const char *word) {
    size_t n = word ? strlen(word) : 0;
    int printed = 0;
    for (size_t i = 0; i < NCOMMANDS; i++) {
        char head[64];
        if (word && (strncmp(commands[i].name, word, n) || commands[i].name[n] != ' ')) continue;
        snprintf(head, sizeof head, "%s %s", commands[i].name, commands[i].arguments);
        fprintf(to, "  %-32s %s\n", head, commands[i].summary);
        printed++;
    }
    return printed;
}

static void print_usage(FILE *to) {
    fputs("usage: satchelctl [--data DIR | --socket PATH] [--json] COMMAND [OPTION...] [ARGUMENT...]\n"
          "Looks after a running satcheld, over the socket in its data directory.\n\n",
          to);
    print_commands(to, NULL);
    fputs("\n  --data DIR     the server's data directory (default $SATCHEL_DATA, else ./satchel-data)\n"
          "  --socket PATH  the socket itself\n"
          "  --json         answer in JSON\n"
          "  --help         of a command, with its options: satchelctl COMMAND --help\n"
          "  --version\n"
          "\nExit status: 0 done, 1 failed, 2 wrong usage. See satchelctl(8).\n",
          to);
}

static void print_line(FILE *to, const command *k) {
    fprintf(to, "usage: satchelctl %s%s%s%s\n", k->name, k->options ? " [OPTION...]" : "", *k->arguments ? " " : "",
            k->arguments);
}

static void print_help(const command *k) {
    print_line(stdout, k);
    fputs(k->help, stdout);
    if (k->options) putchar('\n');
    for (const ctl_option *o = k->options; o && o->name; o++) {
        char head[64];
        snprintf(head, sizeof head, "--%s%s%s", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
        printf("  %-26s %s\n", head, o->help);
    }
}

/* The command with the longest name that the words begin with; *words: how many of them it is. */
static const command *find_command(char **word, int nword, int *words) {
    const command *found = NULL;
    *words = 0;
    for (size_t i = 0; i < NCOMMANDS; i++) {
        const char *second = strchr(commands[i].name, ' ');
        size_t first = second ? (size_t)(second - commands[i].name) : strlen(commands[i].name);
        int n = second ? 2 : 1;
        if (nword < n || n < *words || strlen(word[0]) != first || strncmp(word[0], commands[i].name, first)) continue;
        if (second && strcmp(word[1], second + 1)) continue;
        found = &commands[i];
        *words = n;
    }
    return found;
}

static int wrong_usage(const command *k) {
    if (k)
        print_line(stderr, k);
    else
        fputs("try satchelctl --help\n", stderr);
    return CTL_USAGE;
}

/* ---- options: the program's own may stand anywhere, a command's after its name ---- */

enum { OPT_DATA = 256, OPT_SOCKET, OPT_JSON, OPT_HELP, OPT_VERSION, OPT_OF_COMMAND };

static const struct option own_options[] = {
    {"data", required_argument, NULL, OPT_DATA}, {"socket", required_argument, NULL, OPT_SOCKET},
    {"json", no_argument, NULL, OPT_JSON},       {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
};
#define NOWN (sizeof own_options / sizeof *own_options)
#define OPTIONS_MAX 32

typedef struct asked {
    bool help, version;
} asked;

/* getopt's table: the program's own options and then the command's, if there is one. */
static void list_options(struct option out[NOWN + OPTIONS_MAX + 1], const command *k) {
    size_t n = NOWN;
    memcpy(out, own_options, sizeof own_options);
    for (const ctl_option *o = k ? k->options : NULL; o && o->name && n < NOWN + OPTIONS_MAX; o++, n++)
        out[n] = (struct option){o->name, o->argument ? required_argument : no_argument, NULL, OPT_OF_COMMAND + (int)(n - NOWN)};
    out[n] = (struct option){0};
}

static bool note_option(ctl *c, const ctl_option *o, const char *value) {
    if (c->ngiven == CTL_GIVEN_MAX) {
        fprintf(stderr, "satchelctl: more than %d options\n", CTL_GIVEN_MAX);
        return false;
    }
    c->given[c->ngiven++] = (ctl_given){o->name, value ? value : ""};
    return true;
}

/* Without a command up to the first word, which names it. */
static bool take_options(int argc, char **argv, const command *k, ctl *c, asked *a) {
    struct option options[NOWN + OPTIONS_MAX + 1];
    list_options(options, k);
    optind = 0;
    for (int o; (o = getopt_long(argc, argv, k ? "" : "+", options, NULL)) != -1;) {
        if (o == OPT_DATA)
            c->data = optarg;
        else if (o == OPT_SOCKET)
            c->socket = optarg;
        else if (o == OPT_JSON)
            c->json = true;
        else if (o == OPT_HELP)
            a->help = true;
        else if (o == OPT_VERSION)
            a->version = true;
        else if (o < OPT_OF_COMMAND || !note_option(c, &k->options[o - OPT_OF_COMMAND], optarg))
            return false;
    }
    c->nword = argc - optind;
    c->word = argv + optind;
    return true;
}

const char *ctl_value_at(const ctl *c, const char *option, size_t at) {
    for (size_t i = 0; i < c->ngiven; i++)
        if (!strcmp(c->given[i].option, option) && !at--) return c->given[i].value;
    return NULL;
}

const char *ctl_value(const ctl *c, const char *option) {
    const char *last = NULL;
    for (size_t i = 0; i < c->ngiven; i++)
        if (!strcmp(c->given[i].option, option)) last = c->given[i].value;
    return last;
}

int ctl_number(const ctl *c, const char *option, long least, long most, long *out) {
    const char *text = ctl_value(c, option);
    if (!text) return CTL_DONE;
    char *end;
    errno = 0;
    long v = strtol(text, &end, 10);
    if (!*text || *end || errno || v < least || v > most) {
        fprintf(stderr, "satchelctl: --%s takes a number from %ld to %ld, not \"%s\"\n", option, least, most, text);
        return CTL_USAGE;
    }
    *out = v;
    return CTL_DONE;
}

json_int_t ctl_id(const char *word, const char *what) {
    char *end;
    errno = 0;
    long long id = strtoll(word, &end, 10);
    if (!*end && !errno && id >= 1) return id;
    fprintf(stderr, "satchelctl: \"%s\" is not the number of %s\n", word, what);
    return 0;
}

json_t *ctl_ids(const ctl *c, const char *what) {
    json_t *ids = json_array();
    for (int i = 2; i < c->nword; i++) {
        json_int_t id = ctl_id(c->word[i], what);
        if (!id) {
            json_decref(ids);
            return NULL;
        }
        json_array_append_new(ids, json_integer(id));
    }
    return ids;
}

/* ---- a command's run ---- */

static int unknown_command(const ctl *c) {
    if (c->nword)
        fprintf(stderr, "satchelctl: there is no command \"%s%s%s\"\n", c->word[0], c->nword > 1 ? " " : "",
                c->nword > 1 ? c->word[1] : "");
    return wrong_usage(NULL);
}

/* Before a command is found options are read up to the first word alone. */
static bool asks_of_group(const ctl *c, const asked *a) {
    return c->nword == 1 ? a->help : c->nword == 2 && !strcmp(c->word[1], "--help");
}

static int run_command(int argc, char **argv, ctl *c, asked *a) {
    int words;
    if (!take_options(argc, argv, NULL, c, a)) return wrong_usage(NULL);
    const command *k = find_command(c->word, c->nword, &words);
    if (k && !take_options(argc, argv, k, c, a)) return wrong_usage(k);
    if (a->version) return puts("satchelctl " SATCHEL_VERSION) < 0;
    if (a->help && k) return print_help(k), CTL_DONE;
    if (a->help && !c->nword) return print_usage(stdout), CTL_DONE;
    if (!k && asks_of_group(c, a) && print_commands(stdout, c->word[0])) return CTL_DONE;
    if (!k) return unknown_command(c);
    if (c->nword - words < k->least || c->nword - words > k->most) return wrong_usage(k);
    return k->run(c);
}

int main(int argc, char **argv) {
    const char *data = getenv("SATCHEL_DATA");
    ctl c = {.data = data && *data ? data : "satchel-data", .fd = -1};
    asked a = {0};
    signal(SIGPIPE, SIG_IGN);
    int rc = run_command(argc, argv, &c, &a);
    ctl_disconnect(&c);
    if (fflush(stdout) && !rc) {
        perror("satchelctl: standard output");
        rc = CTL_FAILED;
    }
    return rc;
}
