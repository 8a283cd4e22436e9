#!/bin/sh
# satchel-company as a program: exit statuses, help, and the same bytes for the same options.
set -u
program=$1
failed=0

expect() {
    want=$1
    shift
    "$@" >/dev/null 2>&1
    got=$?
    if [ "$got" -ne "$want" ]; then
        echo "$*: exit status $got, wanted $want"
        failed=1
    fi
}

expect 0 "$program" --help
expect 0 "$program" --contacts 10 --seed 0 --cards 0
expect 2 "$program" --nope
expect 2 "$program" --contacts
expect 2 "$program" --contacts 7x
expect 2 "$program" --contacts 0
expect 2 "$program" --contacts -1
expect 2 "$program" --seed 99999999999999999999
expect 2 "$program" --cards 0 --entries 5
expect 2 "$program" argument
expect 1 sh -c "'$program' --contacts 10 >/dev/full"

first=$("$program" --contacts 500 --seed 3 | cksum)
again=$("$program" --contacts 500 --seed 3 | cksum)
other=$("$program" --contacts 500 --seed 4 | cksum)
[ "$first" = "$again" ] || { echo "one seed gave two companies"; failed=1; }
[ "$first" != "$other" ] || { echo "two seeds gave one company"; failed=1; }
exit $failed
