"""What papers insert into image encoders, through named slots that every ViT of the house has."""
