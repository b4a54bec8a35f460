ROLES = filter settings
KIT = --settings 'header=X-Spam-Flag: YES'
