#!/usr/bin/perl
# Collects new mail with Perl's Net::POP3, as a mail program would: unique-ids of
# what it has are kept in a file.
#
# `net_pop3_collect.pl HOST PORT off|starttls|implicit AUTHORITY USER SEEN OUT keep|delete`,
# password on stdin.
use strict;
use warnings;
use Net::POP3;

my ($host, $port, $tls, $authority, $user, $seen, $out, $then) = @ARGV;
my @trust = (SSL_ca_file => $authority, SSL_verify_mode => 1);
my @ssl = $tls eq 'implicit' ? (SSL => 1, @trust) : ();
my $box = Net::POP3->new($host, Port => $port, Timeout => 120, @ssl)
    or die "cannot connect: $@\n";
if ($tls eq 'starttls') {
    $box->starttls(@trust) or die 'STLS: ', $box->message, "\n";
}
chomp(my $password = <STDIN>);
defined $box->login($user, $password) or die 'login: ', $box->message, "\n";

my %known;
if (open my $file, '<', $seen) {
    chomp(my @lines = <$file>);
    %known = map { $_ => 1 } @lines;
}
my $ids = $box->uidl or die 'UIDL: ', $box->message, "\n";
for my $number (sort { $a <=> $b } keys %$ids) {
    my $id = $ids->{$number};
    if (!$known{$id}) {
        my $lines = $box->get($number) or die "RETR $number: ", $box->message, "\n";
        open my $file, '>:raw', "$out/$number" or die "$out/$number: $!\n";
        print $file @$lines;
        close $file or die "$out/$number: $!\n";
        $known{$id} = 1;
    }
    if ($then eq 'delete') {
        $box->delete($number) or die "DELE $number: ", $box->message, "\n";
    }
}
$box->quit or die 'QUIT: ', $box->message, "\n";
open my $file, '>', $seen or die "$seen: $!\n";
print $file "$_\n" for sort keys %known;
close $file or die "$seen: $!\n";
