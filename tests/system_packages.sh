#!/usr/bin/env bash
# The test suite's own system packages: installs what is missing where it can, says what is missing where not.
set -euo pipefail

missing=()
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null || missing+=(postgresql)
command -v redis-server >/dev/null || missing+=(redis-server)
# Spark's; version 17 or later.
[ -n "${JAVA_HOME:-}" ] || command -v java >/dev/null || missing+=(default-jre-headless)
# For smtp-sink and smtp-source alone: Debian puts them where only root's PATH looks.
command -v smtp-sink >/dev/null || [ -x /usr/sbin/smtp-sink ] || missing+=(postfix)
# Scores of emails.
command -v spamassassin >/dev/null || missing+=(spamassassin)
# Pictures of pages.
command -v chromium >/dev/null || missing+=(chromium)
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "Installing for the tests: ${missing[*]}"
    log=$(mktemp)
    # Postfix is installed without a configuration, and so starts no mail server.
    if [[ " ${missing[*]} " == *" postfix "* ]]; then
        echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections
    fi
    if apt-get update -qq >"$log" 2>&1 &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
        rm -f "$log"
        exit 0
    fi
    tail -n 20 "$log" >&2
fi
echo "The tests need these system packages, which are not installed: ${missing[*]}" >&2
echo "On Debian or Ubuntu, as root: apt-get install --no-install-recommends ${missing[*]}" >&2
exit 1
