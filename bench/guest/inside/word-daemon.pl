#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# Keeps an index of the words in headers and perl's own modules in its heap: MEGABYTES READY-FILE.
use strict;
use warnings;
use File::Find;

my ($megabytes, $ready) = @ARGV;
my (%where, @files);
find({no_chdir => 1, wanted => sub { push @files, $_ if -f && /\.(h|p[ml])$/ }}, '/usr/share/perl', '/usr/include');
for my $file (sort @files) {
    open my $statm, '<', '/proc/self/statm' or die;
    last if (split ' ', <$statm>)[1] * 4096 >= $megabytes << 20;
    open my $in, '<', $file or next;
    while (my $line = <$in>) {
        push @{$where{$1}}, "$file:$." while $line =~ /([A-Za-z_]\w{2,})/g;
    }
}
open my $out, '>', "$ready.tmp" or die;
print $out "$$\n";
close $out;
rename "$ready.tmp", $ready or die;
sleep 60 while 1;
