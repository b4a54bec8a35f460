ROLES = store
KIT = --maildrop sample/mail/alice
