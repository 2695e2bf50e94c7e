# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the guest can be told to do; each function is one round of it. Part of init: nothing waits for "all children".
# shellcheck disable=SC2086,SC2154  # bench, state, libraries and round are init's

# edit_sources COUNT
edit_sources() {
    find repository -path '*/.git' -prune -o -name "*$((round % 10))*.[hp]*" -print | head -"$1" |
        while read -r file; do echo "/* round $round */" >>"$file"; done
}

# A little of everything.
work_mixed() {
    python3 $bench/database.py work $state/sources.db $round
    python3 $bench/logs.py /var/log/app.live.$round 3000
    edit_sources 40
    git -C repository commit -q -a -m "round $round"
    for part in 0 1 2; do kill -USR1 "$(cat /run/syntax-$part)"; done
    python3 $bench/feed-redis.py 2 $round
    $bench/compile.sh $round "${libraries[round % 3]}"
    sync
}

# A build on two processors: gcc on one, perl making manuals of its modules on the other.
work_compile() {
    local gcc name manuals=$state/build/manuals-$round
    $bench/compile.sh $round image truetype image_resize ds image_write sprintf rect_pack hexwave perlin c_lexer &
    gcc=$!
    mkdir -p "$manuals"
    find /usr/share/perl -name '*.pm' | sort | awk "NR % 5 == $round % 5" | head -60 |
        while read -r module; do
            name=${module#/usr/share/perl/}
            pod2man "$module" "$manuals/${name//\//-}.3"
        done 2>"$manuals/log"
    gzip -9 "$manuals"/*.3
    wait $gcc && ar rc $state/build/round-$round.a $state/build/*-$round.o
}

# The key-value store being filled.
work_kv() { python3 $bench/feed-redis.py 16 $round; }

# Transactions on the database, and beside them commits in the repository, now and then packed or cloned.
work_sqlite-git() {
    local database
    python3 $bench/database.py work $state/sources.db $round &
    database=$!
    edit_sources 150
    git -C repository commit -q -a -m "round $round" && git -C repository log --stat -1 >/dev/null
    case $((round % 4)) in
        0) git -C repository repack -q -a -d ;;
        2) rm -rf clone && git clone -q --no-local repository clone ;;
    esac
    wait $database
}

# A count on the console, fifty times a second; beside it, for each line on the console, a round of everything.
work_beat() {
    if [ "$round" -eq 1 ]; then
        perl -e '$| = 1; while (1) { select undef, undef, undef, 0.02; print "beat ", ++$count, "\n" }' &
    fi
    read -r _ && work_mixed
}
